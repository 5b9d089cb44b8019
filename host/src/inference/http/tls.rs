//! TLS by rustls. Trusted are the certificate authorities of the machine, and those of one more file.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

/// Speaks TLS 1.2 or 1.3, and offers HTTP/2 before HTTP/1.1.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let certificates = match ca_file {
        Some(path) => certificates(path)?,
        None => Vec::new(),
    };
    // Named, so that nothing depends on which provider was installed for the process.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let broken = |error| format!("TLS: {error}");
    let verifier = Verifier::new_with_extra_roots(certificates, provider.clone()).map_err(broken)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let broken = |error| format!("ca_file {}: {error}", path.display());
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(broken)?.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    match certificates.is_empty() {
        true => Err(format!("ca_file {}: no certificate in it; it is to be PEM", path.display())),
        false => Ok(certificates),
    }
}
