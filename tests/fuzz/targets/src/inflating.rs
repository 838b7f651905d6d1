//! Content encodings: at most the limit comes out, whatever a body promises.

use bytes::Bytes;
use otlp::{Encoding, Reason};

const LIMIT: usize = 1 << 20;

/// Any bytes: the first names the encoding, the rest is the body.
///
/// # Panics
/// When more comes out than the limit, or a refusal is neither "too large" nor "malformed".
pub fn inflate(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let encoding = [Encoding::Gzip, Encoding::Zstd, Encoding::Deflate][usize::from(first % 3)];
    match otlp::inflate(encoding, Bytes::copy_from_slice(body), LIMIT) {
        Ok(whole) => assert!(whole.len() <= LIMIT),
        Err(reason) => assert!(matches!(reason, Reason::TooLarge | Reason::Malformed), "{reason:?}"),
    }
}
