//! The headers by which browsers let scripts of other origins read answers (util/httputil/cors.go), with our own ones made
//! readable.

use http::{HeaderMap, HeaderValue, header};
use masthead_store::Matcher;

/// Adds them to an answer, where the request comes from another origin. `allowed` are the origins that may read it.
pub(super) fn add(request: &HeaderMap, allowed: &Matcher, reply: &mut HeaderMap) {
    reply.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    reply.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = request.get(header::ORIGIN).filter(|origin| !origin.is_empty()) else { return };
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date, Masthead-Coverage, X-Request-Id"),
    ] {
        reply.insert(name, HeaderValue::from_static(value));
    }
    if origin.to_str().is_ok_and(|origin| allowed.matches(origin)) {
        reply.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}
