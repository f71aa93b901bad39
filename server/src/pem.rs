//! Files of certificates and keys (PEM), as people have them: with the byte order mark that Windows puts first, or in
//! UTF-16 as its shell writes them. And what such a file holds when it does not hold what it should.

use std::fs;
use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The contents of `file` without a byte order mark, in UTF-8 if they were text in UTF-16.
///
/// # Errors
/// When it cannot be read.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    let contents = fs::read(file)?;
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
            .into_bytes()
    };
    Ok(match contents.as_slice() {
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.to_vec(),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => contents,
    })
}

/// The certificates in `contents`; `None` if there are none, or one of them is damaged.
pub fn certificates(contents: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(contents).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty())
}

/// What `contents` are, to finish the sentence «it is not what it should be: …».
pub fn found(contents: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(contents);
    let holds =
        |words: &str| text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(words));
    match contents {
        blank if blank.trim_ascii().is_empty() => "it is empty",
        // A sequence whose length takes one or two bytes.
        [0x30, 0x81 | 0x82, ..] => {
            "it is DER, which `openssl x509 -inform der` or `openssl pkey -inform der` converts"
        }
        _ if holds("ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED") => "its key is encrypted",
        _ if holds("PRIVATE KEY") => "it holds a private key",
        _ if holds("CERTIFICATE REQUEST") => "it holds a request for a certificate",
        _ if holds("CERTIFICATE") => "it holds a certificate, or what is left of one",
        _ => "it holds something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(contents: &[u8]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), contents).expect("writable");
        read(file.path()).expect("readable")
    }

    #[test]
    fn a_byte_order_mark_is_left_out() {
        let text = "-----BEGIN";
        let with = |mark: &[u8], unit: fn(u16) -> [u8; 2]| {
            [mark, &*text.encode_utf16().flat_map(unit).collect::<Vec<_>>()].concat()
        };
        assert_eq!(read_back(text.as_bytes()), text.as_bytes());
        assert_eq!(read_back(format!("\u{feff}{text}").as_bytes()), text.as_bytes());
        assert_eq!(read_back(&with(&[0xff, 0xfe], u16::to_le_bytes)), text.as_bytes());
        assert_eq!(read_back(&with(&[0xfe, 0xff], u16::to_be_bytes)), text.as_bytes());
        assert_eq!(read_back(&[0xff, 0xfe, 0]), b"", "half a unit");
    }

    #[test]
    fn what_a_file_holds_instead_is_recognised() {
        assert_eq!(found(b" \n"), "it is empty");
        assert!(found(&[0x30, 0x82, 1, 2]).starts_with("it is DER"));
        assert_eq!(found(b"x\n-----BEGIN RSA PRIVATE KEY-----"), "it holds a private key");
        assert_eq!(found(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"), "its key is encrypted");
        assert!(found(b"-----BEGIN CERTIFICATE-----\nAA").starts_with("it holds a certificate"));
        assert_eq!(found(b"-----BEGIN CERTIFICATE REQUEST-----"), "it holds a request for a certificate");
        assert_eq!(found(&[0xff; 8]), "it holds something else");
    }
}
