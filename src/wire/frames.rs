//! Reads the heads of HTTP/2 frames as their bytes pass, to know what the HTTP library does not tell: how
//! many streams are reset, and whether a request's head is still under way. Frames are judged by the
//! library alone; here nothing is refused.

/// A frame's head: length, type, flags, stream.
const HEAD: usize = 9;
/// What is kept of a frame: its head, and the error code of a reset.
const KEPT: usize = HEAD + 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The frames of one direction of a connection.
#[derive(Debug, Default)]
pub struct Frames {
    kept: [u8; KEPT],
    have: usize,
    /// Bytes of the frame's content that are still to come.
    skip: usize,
    /// A block of headers has begun and is not complete.
    block: bool,
    /// The frame under way completes the block.
    completes: bool,
}

impl Frames {
    /// Looks at the next bytes and hands the error code of each reset stream to `reset`.
    pub fn pass(&mut self, mut bytes: &[u8], mut reset: impl FnMut(u32)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                bytes = &bytes[passed..];
                self.skip -= passed;
                self.end_block();
                continue;
            }
            let wanted = if self.have < HEAD { HEAD } else { KEPT };
            let taken = (wanted - self.have).min(bytes.len());
            self.kept[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            match self.have {
                HEAD => self.begin(),
                KEPT => {
                    let [.., a, b, c, d] = self.kept;
                    reset(u32::from_be_bytes([a, b, c, d]));
                    self.have = 0;
                }
                _ => {}
            }
        }
    }

    /// Whether the bytes so far end with a whole frame.
    pub fn at_boundary(&self) -> bool {
        self.have == 0 && self.skip == 0
    }

    /// Whether the head of a frame, or of a request, has begun and is not complete.
    pub fn in_head(&self) -> bool {
        self.block || self.have > 0
    }

    /// The head of a frame is there.
    fn begin(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.kept;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == RST_STREAM && length == KEPT - HEAD {
            return;
        }
        self.have = 0;
        self.skip = length;
        if kind == HEADERS || kind == CONTINUATION {
            self.block = true;
            self.completes = flags & END_HEADERS != 0;
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        if self.skip == 0 && self.completes {
            self.block = false;
            self.completes = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], content].concat()
    }

    proptest! {
        #[test]
        fn resets_are_counted_however_the_bytes_are_cut(kinds in prop::collection::vec(0_u8..10, 0..40), cut in 1_usize..40) {
            let bytes: Vec<u8> = kinds.iter().flat_map(|kind| frame(*kind, END_HEADERS, &[0, 0, 0, *kind])).collect();
            let (mut frames, mut codes) = (Frames::default(), Vec::new());
            for part in bytes.chunks(cut) {
                frames.pass(part, |code| codes.push(code));
            }
            let resets = kinds.iter().filter(|kind| **kind == RST_STREAM).count();
            prop_assert_eq!(codes, vec![u32::from(RST_STREAM); resets]);
            prop_assert!(frames.at_boundary() && !frames.in_head());
        }
    }

    #[test]
    fn a_head_is_under_way_until_its_last_frame_is_whole() {
        let mut frames = Frames::default();
        let mut pass = |bytes: &[u8]| {
            frames.pass(bytes, |_| {});
            frames.in_head()
        };
        assert!(pass(&frame(HEADERS, 0, b"ab")));
        assert!(pass(&frame(CONTINUATION, 0, b"")));
        let last = frame(CONTINUATION, END_HEADERS, b"cd");
        assert!(pass(&last[..last.len() - 1]));
        assert!(!pass(&last[last.len() - 1..]));
        assert!(!pass(&frame(0, 0, b"data")));
        assert!(pass(&[0]), "the head of a frame");
    }
}
