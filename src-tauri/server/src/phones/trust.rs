//! The page that helps a phone to trust this machine, and the certificate it takes. Plain HTTP: a phone that does
//! not trust us yet must be able to read it, so nothing secret is here.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nightjar_signaling::relay::keys::sha256;

use super::Authority;
use crate::reply::Refusal;

const PAGE: &str = include_str!("trust.html");

/// Its three addresses.
pub(crate) fn router(authority: Arc<Authority>) -> Router {
    Router::new()
        .route("/trust", get(page))
        .route("/ca.crt", get(certificate))
        .route("/ca.mobileconfig", get(profile))
        .fallback(async || Refusal::nothing_here())
        .method_not_allowed_fallback(async || Refusal::wrong_method())
        .with_state(authority)
}

async fn page(State(authority): State<Arc<Authority>>) -> Response {
    let text = PAGE.replace("{name}", &authority.name()).replace("{fingerprint}", &authority.fingerprint());
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

async fn certificate(State(authority): State<Arc<Authority>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-x509-ca-cert"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"nightjar.crt\""),
    ];
    (headers, authority.certificate()).into_response()
}

async fn profile(State(authority): State<Arc<Authority>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-apple-aspen-config"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"nightjar.mobileconfig\""),
    ];
    (headers, configuration(&authority)).into_response()
}

/// A configuration profile with the certificate. It is the same each time, so that it replaces itself.
fn configuration(authority: &Authority) -> String {
    let uuid = |what: &str| {
        let hash = sha256(format!("{what} {}", authority.fingerprint()).as_bytes());
        let hex: String = hash[..16].iter().map(|byte| format!("{byte:02X}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    };
    let name = authority.name();
    let certificate = STANDARD.encode(authority.certificate());
    let (inner, outer) = (uuid("certificate"), uuid("profile"));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadCertificateFileName</key><string>nightjar.crt</string>
      <key>PayloadContent</key><data>{certificate}</data>
      <key>PayloadDisplayName</key><string>{name}</string>
      <key>PayloadIdentifier</key><string>local.nightjar.{inner}</string>
      <key>PayloadType</key><string>com.apple.security.root</string>
      <key>PayloadUUID</key><string>{inner}</string>
      <key>PayloadVersion</key><integer>1</integer>
    </dict>
  </array>
  <key>PayloadDescription</key><string>Lets this device trust the Nightjar program on one computer.</string>
  <key>PayloadDisplayName</key><string>{name}</string>
  <key>PayloadIdentifier</key><string>local.nightjar.{outer}</string>
  <key>PayloadRemovalDisallowed</key><false/>
  <key>PayloadType</key><string>Configuration</string>
  <key>PayloadUUID</key><string>{outer}</string>
  <key>PayloadVersion</key><integer>1</integer>
</dict>
</plist>
"#
    )
}
