//! A ZIP archive in memory (APPNOTE.TXT 6.3.10, without its 64-bit forms): small texts, compressed.

use std::io::Write as _;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// General purpose flag 11: names are UTF-8.
const UTF8: u16 = 1 << 11;
const DEFLATE: u16 = 8;
/// Version 2.0: folders and compression.
const VERSION: u16 = 20;
/// 1980-01-01, the first day that the format knows: the archive's own name says when it was made.
const DAY: u16 = (1 << 5) | 1;

/// An archive under way.
#[derive(Debug, Default)]
pub(crate) struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

impl Zip {
    /// Adds a file. Names are ours: short and plain.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) {
        let mut crc = Crc::new();
        crc.update(content);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(content).and_then(|()| encoder.finish());
        let packed = packed.expect("a vector takes what it is given");
        let offset = size(self.bytes.len());

        let mut common = Vec::with_capacity(26);
        for value in [VERSION, UTF8, DEFLATE, 0, DAY] {
            common.extend_from_slice(&value.to_le_bytes());
        }
        for value in [crc.sum(), size(packed.len()), size(content.len())] {
            common.extend_from_slice(&value.to_le_bytes());
        }
        let length = u16::try_from(name.len()).expect("names are short");
        common.extend_from_slice(&length.to_le_bytes());
        common.extend_from_slice(&0u16.to_le_bytes());

        self.bytes.extend_from_slice(b"PK\x03\x04");
        self.bytes.extend_from_slice(&common);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(&packed);

        self.directory.extend_from_slice(b"PK\x01\x02");
        self.directory.extend_from_slice(&VERSION.to_le_bytes());
        self.directory.extend_from_slice(&common);
        // No comment, first disk, no attributes.
        self.directory.extend_from_slice(&[0; 10]);
        self.directory.extend_from_slice(&offset.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.entries += 1;
    }

    /// The archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let start = size(self.bytes.len());
        self.bytes.append(&mut self.directory);
        let length = size(self.bytes.len()) - start;
        self.bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        for entries in [self.entries; 2] {
            self.bytes.extend_from_slice(&entries.to_le_bytes());
        }
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&start.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes
    }
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("what is packed here is bounded by a few megabytes")
}
