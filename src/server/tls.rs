//! The TLS certificate and key. Both files are read again when they change; open connections keep the old certificate.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Maximum size of a PEM file, in bytes.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// Paths of both files and the configuration last read from them.
pub(super) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<(Stamp, Arc<ServerConfig>)>,
}

/// Modification time of each file.
type Stamp = (Option<SystemTime>, Option<SystemTime>);

impl Tls {
    pub(super) fn load(cert: PathBuf, key: PathBuf) -> Result<Self, String> {
        let current = (file_stamp(&cert, &key), read(&cert, &key)?);
        Ok(Self { cert, key, current: Mutex::new(current) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).1))
    }

    /// Reads both files again if they changed or with `force`; returns whether it did. After an error the old pair stays in use.
    pub(super) fn reload(&self, force: bool) -> Result<bool, String> {
        let found = file_stamp(&self.cert, &self.key);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == found && !force {
            return Ok(false);
        }
        // Set before reading, so that a broken file is reported once and not at every check.
        current.0 = found;
        current.1 = read(&self.cert, &self.key)?;
        Ok(true)
    }
}

fn file_stamp(cert: &Path, key: &Path) -> Stamp {
    let of = |path: &Path| std::fs::metadata(path).and_then(|it| it.modified()).ok();
    (of(cert), of(key))
}

/// The bytes of a file, up to the size limit.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = townlet_files::open(path).and_then(|file| file.take(MAX_PEM_BYTES).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("{}: {error}.", path.display()))
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let certs = CertificateDer::pem_slice_iter(&bytes(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{}: invalid PEM certificate: {error}.", cert.display()))?;
    if certs.is_empty() {
        return Err(format!("{}: the file contains no PEM certificate.", cert.display()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .map_err(|error| format!("{}: invalid PEM private key: {error}.", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}."))?
        .with_no_client_auth()
        .with_single_cert(certs, secret)
        .map_err(|error| format!("{} and {}: {error}.", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
