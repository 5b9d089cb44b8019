//! One server: its address, taken apart once, and the head that all requests to it have in common.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Uri};
use rustls::pki_types::ServerName;

use super::protocol::Protocol;
use crate::inference::external::EndpointConfig;

/// Key of a request by which a server can tell that it has seen it.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of JSON before the tensors of a body.
pub(super) const JSON_BYTES: HeaderName = HeaderName::from_static("inference-header-content-length");

const AGENT: &str = concat!("millstream/", env!("CARGO_PKG_VERSION"));

/// Headers that say where a message ends, where it goes, or what the protocol says itself.
const RESERVED: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "inference-header-content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A server.
pub(super) struct Endpoint {
    /// Scheme, host and port, for messages.
    pub label: String,
    /// Host as a name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Name that its certificate must have; none speaks without TLS.
    pub tls: Option<ServerName<'static>>,
    /// Where requests go: as HTTP/1.1 says it, and as HTTP/2 says it.
    pub target: Target,
    /// Head of each request, with a place for each header that differs.
    pub headers: HeaderMap,
}

/// One address in the two forms.
pub(super) struct Target {
    /// The path alone.
    pub origin: Uri,
    /// With scheme and authority.
    pub absolute: Uri,
}

impl Endpoint {
    /// The server at base address `url`. Errors do not quote it: it may hold a password.
    pub fn new(url: &str, config: &EndpointConfig, protocol: &dyn Protocol) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("it is no address: {error}"))?;
        let authority = uri.authority().ok_or("it has no host; an address is such as `http://localhost:8080`")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user or password; give it as `bearer` or in `headers`".to_owned());
        }
        if uri.query().is_some() || url.contains('#') {
            return Err("it has a query or a fragment; it is the base, without them".to_owned());
        }
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("its scheme is neither `http` nor `https`".to_owned()),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err("it has no host".to_owned());
        }
        let tls = match is_tls {
            false => None,
            true => Some(ServerName::try_from(host.clone()).map_err(|_| "its host is no name that TLS knows")?),
        };
        let label = format!("{}://{authority}", if is_tls { "https" } else { "http" });
        let base = uri.path().trim_end_matches('/');
        let path = protocol.path();
        let wrong = |error| format!("path `{base}{path}`: {error}");
        let target = Target {
            origin: format!("{base}{path}").parse().map_err(wrong)?,
            absolute: format!("{label}{base}{path}").parse().map_err(wrong)?,
        };
        Ok(Self {
            target,
            headers: headers(authority.as_str(), config, protocol)?,
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            label,
            host,
            tls,
        })
    }
}

/// Head of each request.
fn headers(authority: &str, config: &EndpointConfig, protocol: &dyn Protocol) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(authority).map_err(|_| "its host cannot be sent")?);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(protocol.content_type()));
    let secret = |value: &str, what: &str| {
        let mut value =
            HeaderValue::from_str(value).map_err(|_| format!("{what} holds a character that no header can"))?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    for (name, value) in &config.headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no name of a header"))?;
        if RESERVED.contains(&key.as_str()) {
            return Err(format!("header `{name}` is set by the host"));
        }
        headers.append(key, secret(&value.0, &format!("header `{name}`"))?);
    }
    if let Some(bearer) = &config.bearer {
        if headers.contains_key(AUTHORIZATION) {
            return Err("both `bearer` and a header `authorization`; one of them is enough".to_owned());
        }
        headers.insert(AUTHORIZATION, secret(&format!("Bearer {}", bearer.0), "`bearer`")?);
    }
    Ok(headers)
}
