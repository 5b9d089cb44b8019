//! The address of a model server.
//!
//! What is said about an address that may hold a secret points at its table, not at its line: the line
//! would be shown.

use std::net::IpAddr;

use url::Url;

use crate::config::context::Text;
use crate::config::reader::Reader;
use crate::config::sources::Origin;

/// A checked address.
pub(super) struct Address {
    /// As it was written, without a slash at the end.
    pub(super) url: String,
    /// Whether it is spoken to without TLS.
    pub(super) plain: bool,
    /// Whether it never leaves this machine.
    pub(super) loopback: bool,
    /// Where it was written.
    pub(super) at: Origin,
}

/// Checks one of `urls`.
pub(super) fn read(table: &Reader<'_>, text: &Text) -> Option<Address> {
    let written = text.value.trim();
    if authority(written).contains('@') {
        table.cx.report(
            table
                .error(format!("a url of `{}.urls` holds a user or a password", table.path))
                .expected("secrets do not belong into a pipeline file")
                .help("write `bearer = \"${TOKEN}\"`, or `authorization = \"${HEADER}\"` in the table `headers`"),
        );
        return None;
    }
    let report = |message: String, expected: &str, help: &str| {
        table.cx.report(table.cx.error(&text.at, message).expected(expected).help(help));
        None
    };
    let shown = &text.shown;
    let expected = "expected a url such as `http://localhost:8080`";
    let Some((scheme, _)) = written.split_once("://") else {
        return report(format!("`{shown}` has no scheme"), expected, "begin with `http://` or `https://`");
    };
    let plain = scheme.eq_ignore_ascii_case("http");
    if !plain && !scheme.eq_ignore_ascii_case("https") {
        return report(format!("`{shown}` is not an address of HTTP"), expected, "begin with `http://` or `https://`");
    }
    let Some(url) = Url::parse(written).ok().filter(|url| url.has_host()) else {
        return report(format!("`{shown}` is not a url"), expected, "write scheme, host and port");
    };
    if url.query().is_some() || url.fragment().is_some() {
        table.cx.report(
            table
                .error(format!("a url of `{}.urls` has a query or a fragment", table.path))
                .expected("expected scheme, host, port and perhaps a path; the protocol adds the path of the model")
                .help("keys of a service belong into the table `headers`"),
        );
        return None;
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    let loopback = address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback());
    Some(Address { url: written.trim_end_matches('/').to_owned(), plain, loopback, at: text.at.clone() })
}

/// What stands between the scheme and the path.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}
