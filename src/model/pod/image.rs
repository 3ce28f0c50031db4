//! Which image a container runs, as short as it can be kept.
//!
//! Rule: the same ID gives the same mark whichever version of Coppice reads it, because marks are stored.

use std::fmt;

/// The ID of an image, as a hash. What has no ID has the mark of an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageMark(u64);

impl ImageMark {
    /// The mark of that ID.
    pub fn of(id: &str) -> Self {
        // FNV-1a. Whoever can choose the IDs of images can choose what runs, too.
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        let hash = id.bytes().fold(BASIS, mix);
        Self(if id.is_empty() { 0 } else { hash })
    }
}

impl fmt::Display for ImageMark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_same_in_every_version() {
        let marks = ["", "a", "sha256:abc"].map(|id| ImageMark::of(id).to_string());
        assert_eq!(marks[0], "0000000000000000");
        assert_eq!(marks[1], "af63dc4c8601ec8c");
        assert_ne!(marks[1], marks[2]);
    }
}
