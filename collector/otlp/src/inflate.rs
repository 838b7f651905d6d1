//! Content encodings, inflated under a limit. It refuses to allocate what a bomb promises: beyond a small prefix the
//! length is counted first, into a scratch buffer, and only a body that fits is allocated, once, at its length.

use std::io::{self, Read};

use bytes::Bytes;

use crate::budget::{Budget, Reservation};
use crate::failure::{Failure, Reason};

/// Up to here output is kept while it is inflated; what is longer is inflated twice.
const KEPT_BYTES: usize = 4 << 20;
/// Output is taken in pieces of this size.
const CHUNK_BYTES: usize = 64 << 10;
/// RFC 8878 §3.1.1.1.2 recommends that decoders support windows of at least 8 MiB, and refuse what they cannot afford.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952; several members may follow one another.
    Gzip,
    /// RFC 8878; several frames may follow one another.
    Zstd,
    /// RFC 1950, and RFC 1951 where a sender leaves its frame out.
    Deflate,
}

impl Encoding {
    /// Reads a `Content-Encoding` or `grpc-encoding` value; none when it is not one of ours, a list included.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        [
            ("", Self::Identity),
            ("identity", Self::Identity),
            ("none", Self::Identity),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("zstd", Self::Zstd),
            ("deflate", Self::Deflate),
            ("zlib", Self::Deflate),
        ]
        .into_iter()
        .find_map(|(known, encoding)| known.eq_ignore_ascii_case(name).then_some(encoding))
    }
}

/// Inflates a body, as the servers do, up to `limit` bytes of output.
///
/// # Errors
/// [`Reason::Malformed`], or [`Reason::TooLarge`] where more than `limit` bytes would come out.
pub fn inflate(encoding: Encoding, body: Bytes, limit: usize) -> Result<Bytes, Reason> {
    let mut reservation = Budget::new(limit).reserve();
    inflate_within(encoding, body, limit, &mut reservation).map_err(|failure| failure.reason)
}

/// Inflates `body`; an identity body is handed back as it is.
///
/// # Errors
/// Malformed input, more than `limit` bytes of output, or a spent budget.
pub(crate) fn inflate_within(
    encoding: Encoding,
    body: Bytes,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, Failure> {
    // An empty body is an empty message under every encoding: some senders do not run their compressor for it.
    if encoding == Encoding::Identity || body.is_empty() {
        return Ok(body);
    }
    let broken = |error: io::Error| Failure::malformed("", format!("the compressed body is damaged: {error}"));

    let mut decoder = decoder(encoding, &body).map_err(broken)?;
    let mut kept = Vec::new();
    let mut scratch = vec![0; CHUNK_BYTES];
    loop {
        let read = decoder.read(&mut scratch).map_err(broken)?;
        if read == 0 {
            return Ok(kept.into());
        }
        if kept.len() + read > limit {
            return Err(Failure::too_large(limit));
        }
        reservation.grow(read)?;
        kept.extend_from_slice(&scratch[..read]);
        if kept.len() > KEPT_BYTES {
            break;
        }
    }

    let prefix = kept.len();
    drop(kept);
    let mut total = prefix;
    loop {
        let read = decoder.read(&mut scratch).map_err(broken)?;
        if read == 0 {
            break;
        }
        total += read;
        if total > limit {
            return Err(Failure::too_large(limit));
        }
    }
    reservation.grow(total - prefix)?;
    let mut whole = Vec::with_capacity(total);
    self::decoder(encoding, &body).map_err(broken)?.read_to_end(&mut whole).map_err(broken)?;
    Ok(whole.into())
}

fn decoder(encoding: Encoding, body: &[u8]) -> io::Result<Box<dyn Read + '_>> {
    Ok(match encoding {
        Encoding::Identity => Box::new(body),
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(body)),
        Encoding::Deflate if is_zlib(body) => Box::new(flate2::bufread::ZlibDecoder::new(body)),
        Encoding::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(body)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

/// HTTP's `deflate` is the zlib format (RFC 9110 §8.4.1.2), yet some senders send raw deflate. RFC 1950 §2.2: the low
/// nibble of the first byte is 8, and the first two bytes are a multiple of 31.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [first, second, ..] if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0)
}
