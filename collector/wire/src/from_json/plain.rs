//! Attributes and values as exporters write them: without white space, the key before the value, the value one scalar in
//! ASCII. They are most of what is sent. Whatever else stands there, even what is wrong, is left to be read as any message.
use super::{
    Rewriter,
    schema::{ANY, KEY_VALUE, Kind},
};

impl Rewriter<'_> {
    /// Reads `{"key":"…","value":{"stringValue":"…"}}` as a message under that number, or nothing.
    #[inline]
    pub(super) fn plain_attribute(&mut self, number: u32) -> Option<()> {
        let [key, value] = &KEY_VALUE;
        self.attempt(number, |this| {
            this.text.pass(br#"{"key":"#)?;
            this.nodes.count().ok()?;
            this.written.out.bytes(key.number, this.text.plain_string()?);
            this.text.pass(br#","value":"#)?;
            this.nodes.count().ok()?;
            let any = this.written.out.open(value.number);
            this.plain_scalar()?;
            this.written.out.close(any);
            this.text.pass(b"}")
        })
    }

    /// Reads `{"stringValue":"…"}` as a message under that number, or nothing.
    #[inline]
    pub(super) fn plain_any(&mut self, number: u32) -> Option<()> {
        self.attempt(number, Self::plain_scalar)
    }

    /// Reads `{"stringValue":"…"}` into the message that is open.
    #[inline(always)]
    fn plain_scalar(&mut self) -> Option<()> {
        self.text.pass(b"{")?;
        let field = ANY.get(self.text.one_of(&ANY, 0, |field| &field.name)?)?;
        self.text.pass(b":")?;
        self.nodes.count().ok()?;
        match (self.text.peek(), &field.kind) {
            (b'"', kind) => self.written.text(field.number, kind, self.text.plain_string()?).ok()?,
            (b'-' | b'0'..=b'9', kind) => self.written.number(field.number, kind, self.text.number().ok()?).ok()?,
            (b't', Kind::Bool) => {
                self.text.pass(b"true")?;
                self.written.out.varint(field.number, 1);
            }
            (b'f', Kind::Bool) => {
                self.text.pass(b"false")?;
                self.written.out.varint(field.number, 0);
            }
            _ => return None,
        }
        self.text.pass(b"}")
    }

    /// Reads a message in this way, or takes back all that was done for it.
    #[inline(always)]
    fn attempt(&mut self, number: u32, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        let (at, nodes, warnings) = (self.text.at(), self.nodes, self.written.warnings);
        let opened = self.written.out.open(number);
        let outcome = read(self);
        if outcome.is_some() {
            self.written.out.close(opened);
        } else {
            self.written.out.cancel(opened);
            (self.nodes, self.written.warnings) = (nodes, warnings);
            self.text.back_to(at);
        }
        outcome
    }
}
