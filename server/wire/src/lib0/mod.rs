//! The encoding below the Yjs protocols: numbers of variable length, and bytes and text after their length.
//!
//! | name | layout |
//! |---|---|
//! | `var_uint` | little-endian, 7 bits in each byte, the top bit means that another byte follows |
//! | `var_int` | the first byte has the sign in its second bit and 6 bits of the number, then as above |
//! | `var_bytes` | a `var_uint` with the length, then the bytes |
//! | `var_string` | `var_bytes` of UTF-8 |
//!
//! Numbers are below 2⁵³, since clients keep them in a double, and take 8 bytes at most. A number may be written with
//! more bytes than it needs: the reader of JavaScript accepts that too.
//!
//! Source: lib0 0.2.120, `encoding.js` and `decoding.js`.

mod reader;
mod writer;

pub use reader::{Lib0Error, Lib0Reader};
pub use writer::Lib0Write;

pub(crate) use writer::var_uint_bytes;

/// The greatest number that JavaScript represents exactly, 2⁵³ − 1.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers and their bytes, as lib0 writes them.
    const UNSIGNED: [(u64, &[u8]); 8] = [
        (0, &[0x00]),
        (1, &[0x01]),
        (63, &[0x3f]),
        (64, &[0x40]),
        (128, &[0x80, 0x01]),
        (300, &[0xac, 0x02]),
        (0xffff_ffff, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (NUMBER_MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];

    const SIGNED: [(i64, &[u8]); 10] = [
        (0, &[0x00]),
        (1, &[0x01]),
        (63, &[0x3f]),
        (64, &[0x80, 0x01]),
        (128, &[0x80, 0x02]),
        (300, &[0xac, 0x04]),
        (0xffff_ffff, &[0xbf, 0xff, 0xff, 0xff, 0x1f]),
        (-1, &[0x41]),
        (-300, &[0xec, 0x04]),
        (-(NUMBER_MAX as i64), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]),
    ];

    #[test]
    fn numbers_have_the_bytes_of_lib0() {
        for (number, bytes) in UNSIGNED {
            let mut written = Vec::new();
            written.var_uint(number);
            assert_eq!((&*written, var_uint_bytes(number)), (bytes, bytes.len()));
            let mut reader = Lib0Reader::new(bytes);
            assert_eq!((reader.var_uint(), reader.end()), (Ok(number), Ok(())));
        }
        for (number, bytes) in SIGNED {
            let mut written = Vec::new();
            written.var_int(number);
            assert_eq!(written, bytes);
            let mut reader = Lib0Reader::new(bytes);
            assert_eq!((reader.var_int(), reader.end()), (Ok(number), Ok(())));
        }
    }

    #[test]
    fn text_counts_bytes() {
        let mut written = Vec::new();
        written.var_string("hé");
        assert_eq!(written, [0x03, 0x68, 0xc3, 0xa9]);
        assert_eq!(Lib0Reader::new(&written).var_string(), Ok("hé"));
        assert_eq!(Lib0Reader::new(&[0x01, 0xc3]).var_string(), Err(Lib0Error::NotText));
    }

    #[test]
    fn a_number_with_unneeded_bytes_is_accepted() {
        assert_eq!(Lib0Reader::new(&[0x81, 0x80, 0x00]).var_uint(), Ok(1));
        assert_eq!(Lib0Reader::new(&[0xc1, 0x80, 0x00]).var_int(), Ok(-1));
    }

    #[test]
    fn a_number_above_the_greatest_is_refused() {
        let beyond = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        assert_eq!(Lib0Reader::new(&beyond).var_uint(), Err(Lib0Error::Number));
        let signed = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
        assert_eq!(Lib0Reader::new(&signed).var_int(), Err(Lib0Error::Number));
        let endless = [0x80; 20];
        assert_eq!(Lib0Reader::new(&endless).var_uint(), Err(Lib0Error::Number));
        assert_eq!(Lib0Reader::new(&endless).var_int(), Err(Lib0Error::Number));
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(Lib0Reader::new(&[]).byte(), Err(Lib0Error::Truncated));
        assert_eq!(Lib0Reader::new(&[0x80]).var_uint(), Err(Lib0Error::Truncated));
        assert_eq!(Lib0Reader::new(&[0x02, 0x61]).var_bytes(), Err(Lib0Error::Truncated));
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x61];
        assert_eq!(Lib0Reader::new(&longest).var_bytes(), Err(Lib0Error::Truncated));
    }

    #[test]
    fn a_count_is_at_most_what_is_left() {
        assert_eq!(Lib0Reader::new(&[2, 0, 0, 0, 0]).count(2), Ok(2));
        assert_eq!(Lib0Reader::new(&[2, 0, 0, 0]).count(2), Err(Lib0Error::Truncated));
        assert_eq!(Lib0Reader::new(&[0xff, 0xff, 0xff, 0x7f, 0]).count(1), Err(Lib0Error::Truncated));
    }
}
