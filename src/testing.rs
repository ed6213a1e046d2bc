//! What the unit tests share. Not part of the program.

/// A small generator of random numbers: the same seed, the same test.
pub(crate) struct Random(u64);

impl Random {
    /// Starts the sequence that belongs to `seed`.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits (xorshift64*).
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((self.bits() >> 33) as usize) % end
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        (self.bits() >> 40) as u8
    }
}
