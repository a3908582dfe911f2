//! Certificate and key of a service, read again when the files change: new connections get the new one, open ones go on.
//!
//! Knows PEM files and nothing of requests.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Bytes of a file read at most.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// Both files, and what they last held.
pub(super) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    now: Mutex<(Stamp, Arc<ServerConfig>)>,
}

/// When each file was last changed.
type Stamp = (Option<SystemTime>, Option<SystemTime>);

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// Which file cannot be used and why.
    pub(super) fn load(cert: PathBuf, key: PathBuf) -> Result<Self, String> {
        let now = (file_stamp(&cert, &key), read(&cert, &key)?);
        Ok(Self { cert, key, now: Mutex::new(now) })
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner).1))
    }

    /// Reads both files again, if they changed or `anyway`; whether it did. What cannot be used leaves the old pair in force.
    ///
    /// # Errors
    /// Which file cannot be used and why.
    pub(super) fn reload(&self, anyway: bool) -> Result<bool, String> {
        let found = file_stamp(&self.cert, &self.key);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0 == found && !anyway {
            return Ok(false);
        }
        // Told once, not at every look: the same broken file is not read again until it changes.
        now.0 = found;
        now.1 = read(&self.cert, &self.key)?;
        Ok(true)
    }
}

fn file_stamp(cert: &Path, key: &Path) -> Stamp {
    let of = |path: &Path| std::fs::metadata(path).and_then(|it| it.modified()).ok();
    (of(cert), of(key))
}

/// A file's bytes, no more than a certificate or a key can have.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = townlet_files::open(path).and_then(|file| file.take(MAX_PEM_BYTES).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("{}: {error}.", path.display()))
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let certs = CertificateDer::pem_slice_iter(&bytes(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{}: no certificate in PEM: {error}.", cert.display()))?;
    if certs.is_empty() {
        return Err(format!("{}: it holds no certificate in PEM.", cert.display()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .map_err(|error| format!("{}: no private key in PEM: {error}.", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}."))?
        .with_no_client_auth()
        .with_single_cert(certs, secret)
        .map_err(|error| format!("{} and {}: {error}.", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
