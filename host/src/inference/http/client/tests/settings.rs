//! What is refused at the start, in words that hold no secret.

use super::*;

fn refused(change: impl FnOnce(&mut EndpointConfig)) -> String {
    let mut config = config("http://localhost:8080");
    change(&mut config);
    made(&config).unwrap_err()
}

#[test]
fn addresses_that_are_none_are_refused() {
    let of = |url: &str| refused(|config| config.urls = vec!["http://ok".into(), url.into()]);
    assert_eq!(
        of("http://me:s3cret@host"),
        "address 2 of `urls`: it holds a user or password; give it as `bearer` or in `headers`"
    );
    assert!(of("localhost").contains("neither `http` nor `https`"), "{}", of("localhost"));
    assert!(of("/path").contains("no host"));
    assert!(of("ftp://host").contains("neither `http` nor `https`"));
    assert!(of("http://host?key=s3cret").contains("a query or a fragment"));
    assert!(of("http://ho st").contains("no address"));
    for url in ["http://me:s3cret@host", "http://host?key=s3cret", "http://s3cret host"] {
        assert!(!of(url).contains("s3cret"), "{}", of(url));
    }
}

#[test]
fn addresses_of_all_forms_are_taken_apart() {
    for (url, host, port) in [
        ("http://localhost", "localhost", 80),
        ("https://models.example.com/", "models.example.com", 443),
        ("http://127.0.0.1:8080", "127.0.0.1", 8080),
        ("http://[::1]:9000/base", "::1", 9000),
    ] {
        let client = client(url);
        let (endpoint, _) = &client.endpoints[0];
        assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port), "{url}");
    }
}

#[test]
fn headers_that_cannot_be_sent_are_refused() {
    let of = |name: &str, value: &str| refused(|config| config.headers = vec![(name.into(), Secret(value.into()))]);
    assert!(of("content-length", "1").contains("is set by the host"));
    assert!(of("Host", "x").contains("is set by the host"));
    assert!(of("a b", "x").contains("no name of a header"));
    let newline = of("x-key", "s3cret\nx: y");
    assert!(newline.contains("header `x-key` holds a character that no header can"), "{newline}");
    assert!(!newline.contains("s3cret"));
    let both = refused(|config| {
        config.bearer = Some(Secret("a".into()));
        config.headers = vec![("Authorization".into(), Secret("b".into()))];
    });
    assert!(both.contains("one of them is enough"));
}

#[test]
fn a_ca_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let of = || refused(|config| config.ca_file = Some(path.clone()));
    assert!(of().contains("ca.pem: "));
    std::fs::write(&path, "no certificate").unwrap();
    assert!(of().contains("no certificate in it; it is to be PEM"), "{}", of());
}
