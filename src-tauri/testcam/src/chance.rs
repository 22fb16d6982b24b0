//! The camera's dice: identifiers, start values and damage. Fresh from the system each time, for
//! nothing here is to be guessed or repeated.

use rand::{Rng, SeedableRng, rngs::SmallRng};

fn dice() -> SmallRng {
    SmallRng::from_os_rng()
}

/// A random value.
pub(crate) fn random<T>() -> T
where
    rand::distr::StandardUniform: rand::distr::Distribution<T>,
{
    dice().random()
}

/// True once in so many times.
pub(crate) fn once_in(times: u32) -> bool {
    dice().random_ratio(1, times)
}

/// 1 to `most` random bytes.
pub(crate) fn noise(most: usize) -> Vec<u8> {
    let mut dice = dice();
    let mut out = vec![0; dice.random_range(1..=most)];
    dice.fill(&mut out[..]);
    out
}

/// Changes about one byte in sixteen.
pub(crate) fn damage(bytes: &mut [u8]) {
    let mut dice = dice();
    if bytes.is_empty() {
        return;
    }
    for _ in 0..=bytes.len() / 16 {
        let at = dice.random_range(0..bytes.len());
        bytes[at] = dice.random();
    }
}
