//! The TLS certificate and key. Both files are read again when they change; open connections keep the old certificate.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::file_stamp::FileStamp;

/// Maximum size of a PEM file, in bytes.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// Paths of both files and the configuration last read from them.
pub(super) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    seen: [Option<FileStamp>; 2],
    config: Arc<ServerConfig>,
    /// Why the files could not be read again.
    trouble: Option<String>,
}

impl Tls {
    pub(super) fn load(cert: PathBuf, key: PathBuf) -> Result<Self, String> {
        let (seen, config) = ([&cert, &key].map(|path| FileStamp::of(path)), read(&cert, &key)?.1);
        Ok(Self { cert, key, current: Mutex::new(Current { seen, config, trouble: None }) })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current().config))
    }

    /// Why the files could not be read again when they changed last.
    pub(super) fn trouble(&self) -> Option<String> {
        self.current().trouble.clone()
    }

    /// Reads both files again if they changed or with `force`; returns whether it did. After an error the old pair stays in use.
    pub(super) fn reload(&self, force: bool) -> Result<bool, String> {
        let found = [&self.cert, &self.key].map(|path| FileStamp::of(path));
        let mut current = self.current();
        if current.seen == found && !force {
            return Ok(false);
        }
        // Set before reading, so that a broken file is reported once and not at every check.
        current.seen = found;
        let read = read(&self.cert, &self.key);
        current.trouble = read.as_ref().err().cloned();
        current.config = read?.1;
        Ok(true)
    }
}

/// The bytes of a file that was opened, up to the size limit.
fn bytes(path: &Path, opened: io::Result<File>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = opened.and_then(|file| file.take(MAX_PEM_BYTES).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("{}: {error}.", path.display()))
}

/// The first certificate of the chain, and the configuration of the pair.
pub(super) fn read(cert: &Path, key: &Path) -> Result<(CertificateDer<'static>, Arc<ServerConfig>), String> {
    let certs = CertificateDer::pem_slice_iter(&bytes(cert, townlet_files::open(cert))?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{}: invalid PEM certificate: {error}.", cert.display()))?;
    let Some(first) = certs.first().cloned() else {
        return Err(format!("{}: the file contains no PEM certificate.", cert.display()));
    };
    let secret = PrivateKeyDer::from_pem_slice(&bytes(key, townlet_files::open_key(key))?)
        .map_err(|error| format!("{}: invalid PEM private key: {error}.", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}."))?
        .with_no_client_auth()
        .with_single_cert(certs, secret)
        .map_err(|error| format!("{} and {}: {error}.", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((first, Arc::new(config)))
}
