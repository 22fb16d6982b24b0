//! The two laws of G.711: eight bits a sample, louder ones coarser (ITU-T G.711, tables 1 and 2).

/// µ-law, as in North America and Japan.
pub(super) static MU: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = mu(code as u8);
        code += 1;
    }
    table
};

/// A-law, as everywhere else.
pub(super) static A: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = a(code as u8);
        code += 1;
    }
    table
};

/// What µ-law adds to a sample before it is coded, at 16 bits.
const BIAS: i16 = 0x84;

/// One sample at 16 bits. All bits are sent inverted.
const fn mu(code: u8) -> i16 {
    let bits = !code;
    let steps = ((bits & 0x0f) as i16) << 3;
    let level = (steps + BIAS) << ((bits & 0x70) >> 4);
    if bits & 0x80 == 0 { level - BIAS } else { BIAS - level }
}

/// One sample at 16 bits. Every other bit is sent inverted.
const fn a(code: u8) -> i16 {
    let bits = code ^ 0x55;
    let steps = ((bits & 0x0f) as i16) << 4;
    let level = match (bits & 0x70) >> 4 {
        0 => steps + 0x08,
        segment => (steps + 0x108) << (segment - 1),
    };
    if bits & 0x80 == 0 { -level } else { level }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_of_the_recommendation() {
        // Ends and middle of each law, at 16 bits: table 1a and 2a (14 and 13 bits, shifted).
        for (code, level) in
            [(0x00, -32_124), (0x80, 32_124), (0x7f, 0), (0xff, 0), (0x8f, 16_764), (0xf0, 120), (0x70, -120)]
        {
            assert_eq!(MU[code], level, "µ {code:#04x}");
        }
        for (code, level) in [
            (0xaa, 32_256),
            (0x2a, -32_256),
            (0xd5, 8),
            (0x55, -8),
            (0xd4, 24),
            (0x80, 5_504),
            (0x00, -5_504),
        ] {
            assert_eq!(A[code], level, "A {code:#04x}");
        }
        // Each half rises without a step back.
        let rises = |table: &[i16; 256], order: &dyn Fn(usize) -> usize| {
            (0..127).all(|n| table[order(n)] < table[order(n + 1)])
        };
        assert!(rises(&MU, &|n| 0xff - n));
        assert!(rises(&A, &|n| (0x80 + n) ^ 0x55));
    }
}
