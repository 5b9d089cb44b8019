//! TLS: an authority of one's own, HTTP/2 by agreement, and certificates that are not trusted.
//!
//! The certificates in `testdata/tls` are for these tests alone; their `make.sh` made them.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::server::{Seen, answer, listen, speak};
use super::*;

fn file(name: &str) -> PathBuf {
    crate::testdata("src/inference/testdata/tls").join(name)
}

/// A server that speaks one version of HTTP.
async fn serve_tls(is_h2: bool) -> (String, Seen) {
    let certificates = CertificateDer::pem_file_iter(file("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    config.alpn_protocols = vec![if is_h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, url) = listen().await;
    let seen = Seen::default();
    let remembers = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), remembers.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    speak(stream, is_h2, |_| answer(200, "ok"), seen).await;
                }
            });
        }
    });
    (url.replace("http:", "https:").replace("127.0.0.1", "localhost"), seen)
}

fn trusting(url: &str) -> Client {
    let mut config = config(url);
    config.ca_file = Some(file("ca.pem"));
    made(&config).unwrap()
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted() {
    let (url, seen) = serve_tls(false).await;
    let client = trusting(&url);
    let calls = join_all((0..10).map(|_| call(&client))).await;
    assert!(calls.iter().all(|call| call.as_ref().unwrap().body == "ok"));
    assert_eq!(seen.lock().unwrap()[0].version(), http::Version::HTTP_11);
}

#[tokio::test]
async fn http2_is_spoken_where_the_server_offers_it_over_one_connection() {
    let (url, seen) = serve_tls(true).await;
    let client = trusting(&url);
    let calls = join_all((0..50).map(|_| call(&client))).await;
    assert!(calls.iter().all(Result::is_ok));
    assert_eq!(client.connections_opened(0), 1);
    assert_eq!(seen.lock().unwrap()[0].version(), http::Version::HTTP_2);
}

#[tokio::test]
async fn a_certificate_of_nobody_is_not_trusted() {
    let (url, seen) = serve_tls(false).await;
    let error = call(&client(&url)).await.unwrap_err();
    assert_eq!((error.class, error.verdict), (ErrorClass::Connect, Verdict::Retriable));
    assert!(error.message.contains("invalid peer certificate"), "{error}");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_of_another_name_is_not_trusted() {
    let (url, _) = serve_tls(false).await;
    let error = call(&trusting(&url.replace("localhost", "127.0.0.1"))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Connect);
    assert!(error.message.contains("invalid peer certificate"), "{error}");
}
