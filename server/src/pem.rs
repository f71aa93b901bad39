//! Files of certificates and keys (PEM), also with the byte order mark that Windows editors write, or in UTF-16 as
//! PowerShell writes them; and what a file holds instead, for error messages.

use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use settings::file_access::{self, SizeLimit};

/// The contents of `file` without a byte order mark, and in UTF-8 if they are text in UTF-16.
///
/// # Errors
/// When the file cannot be read.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    let contents = file_access::read(file, SizeLimit::PEM)?;
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

/// The certificates in `contents`; `None` if there are none, or one of them is invalid.
pub fn certificates(contents: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(contents).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty())
}

/// Describes `contents` that have no PEM block of the expected kind. Continues a message after a colon.
pub fn describe(contents: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(contents);
    let has_block =
        |label: &str| text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(label));
    match contents {
        blank if blank.trim_ascii().is_empty() => "it is empty",
        // An ASN.1 sequence whose length takes one or two bytes.
        [0x30, 0x81 | 0x82, ..] => {
            "it is DER, which `openssl x509 -inform der` or `openssl pkey -inform der` converts"
        }
        _ if has_block("ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED") => "its key is encrypted",
        _ if has_block("PRIVATE KEY") => "it holds a private key",
        _ if has_block("CERTIFICATE REQUEST") => "it holds a certificate signing request",
        _ if has_block("CERTIFICATE") => "it holds a certificate, which may be damaged",
        _ => "it holds something else",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_back(contents: &[u8]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), contents).expect("writable");
        read(file.path()).expect("readable")
    }

    #[test]
    fn a_byte_order_mark_is_removed() {
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
    fn other_contents_are_described() {
        assert_eq!(describe(b" \n"), "it is empty");
        assert!(describe(&[0x30, 0x82, 1, 2]).starts_with("it is DER"));
        assert_eq!(describe(b"x\n-----BEGIN RSA PRIVATE KEY-----"), "it holds a private key");
        assert_eq!(describe(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"), "its key is encrypted");
        assert!(describe(b"-----BEGIN CERTIFICATE-----\nAA").starts_with("it holds a certificate"));
        assert_eq!(
            describe(b"-----BEGIN CERTIFICATE REQUEST-----"),
            "it holds a certificate signing request"
        );
        assert_eq!(describe(&[0xff; 8]), "it holds something else");
    }
}
