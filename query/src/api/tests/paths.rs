//! Paths, methods, forms and origins.

use super::*;

#[tokio::test]
async fn near_misses_are_sent_to_the_path_that_was_meant() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    for (path, status, location) in [
        ("/api/v1/./x/../labels", 307, "/api/v1/labels"),
        ("/api/v1//query?query=%22x%22&time=5", 307, "/api/v1/query?query=%22x%22&time=5"),
        ("//api/v1/query", 307, "/api/v1/query"),
        ("/api/v1/labels/", 301, "/api/v1/labels"),
        ("/api/v1/label/%C3%A9%25/values/", 301, "/api/v1/label/%C3%A9%25/values"),
        ("/metrics/", 301, "/metrics"),
    ] {
        let got = get(&api, path).await;
        assert_eq!((got.status, got.header("location")), (status, location), "{path}");
        let posted = ask(&api, http::Request::post(path), "").await;
        assert_eq!((posted.status, posted.header("location")), (307, location), "{path}");
    }
    for path in ["/api/v1/nope/", "/api//v2", "/api/v1/label/a%2Fb/values", "/api/v1/label//values/"] {
        assert_eq!(get(&api, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn forms_methods_and_origins() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    let form = || {
        http::Request::post("/api/v1/query?query=up&time=4")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    };
    let got = ask(&api, form().header("origin", "http://x").header("x-request-id", "mine-1"), "query=1%2B2").await;
    assert_eq!(got.body, r#"{"status":"success","data":{"resultType":"scalar","result":[4,"3"]}}"#);
    assert_eq!(got.header("access-control-allow-origin"), "http://x");
    assert!(got.header("access-control-expose-headers").contains("Masthead-Coverage"));
    assert_eq!(got.header("x-request-id"), "mine-1");
    let got = ask(&api, http::Request::options("/api/v1/anything").header("origin", "http://x"), "").await;
    assert_eq!((got.status, got.header("access-control-allow-methods")), (204, "GET, POST, OPTIONS"));
    let got = ask(&api, http::Request::post("/api/v1/label/job/values"), "").await;
    assert_eq!((got.status, got.header("allow")), (405, "GET, OPTIONS"));
    let got = ask(&api, http::Request::get("/-/healthy").header("x-request-id", "a b"), "").await;
    assert_eq!(got.header("x-request-id").len(), 16, "an id that does not fit a log line is replaced");
}

#[tokio::test]
async fn every_path_has_its_methods() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    for (method, path, status, allow, body) in [
        ("GET", "/api/v1/nope", 404, "", "404 page not found\n"),
        ("POST", "/api/v1/nope", 404, "", "404 page not found\n"),
        ("DELETE", "/api/v1/query", 405, "GET, OPTIONS, POST", "Method Not Allowed\n"),
        ("HEAD", "/api/v1/query", 405, "GET, OPTIONS, POST", "Method Not Allowed\n"),
        ("POST", "/api/v1/status/flags", 405, "GET, OPTIONS", "Method Not Allowed\n"),
        ("GET", "/api/v1/write", 405, "OPTIONS, POST", "Method Not Allowed\n"),
        ("GET", "/api/v1/admin/tsdb/snapshot", 405, "OPTIONS, POST, PUT", "Method Not Allowed\n"),
        ("POST", "/-/healthy", 405, "GET, HEAD, OPTIONS", "Method Not Allowed\n"),
        ("OPTIONS", "/-/healthy", 200, "GET, HEAD, OPTIONS", ""),
        ("OPTIONS", "/api/v1/nope", 204, "", ""),
        ("HEAD", "/-/ready", 200, "", "Masthead is ready.\n"),
        (
            "PUT",
            "/api/v1/admin/tsdb/snapshot",
            500,
            "",
            r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#,
        ),
        (
            "POST",
            "/api/v1/write",
            404,
            "",
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n",
        ),
    ] {
        let got = ask(&api, http::Request::builder().method(method).uri(path), "").await;
        assert_eq!((got.status, got.header("allow"), &*got.body), (status, allow, body), "{method} {path}");
        let sniffed = if (404..=405).contains(&status) { "nosniff" } else { "" };
        assert_eq!(got.header("x-content-type-options"), sniffed, "{method} {path}");
    }
}

#[tokio::test]
async fn only_allowed_origins_may_read() {
    let origins = |config: &mut Config| {
        config.cors_origin = Matcher::new("origin", MatchOp::Regex, r"https?://(a|b)\.example").unwrap();
    };
    let api = api_over(vec![Arc::new(east())], origins);
    for (origin, allowed) in
        [("http://a.example", "http://a.example"), ("http://c.example", ""), ("http://a.example.org", ""), ("", "")]
    {
        let request = http::Request::get("/api/v1/query?query=1").header("origin", origin);
        let got = ask(&api, request, "").await;
        assert_eq!(got.header("access-control-allow-origin"), allowed, "{origin}");
        let vary: Vec<_> = got.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["Accept-Encoding", "Origin"]);
        assert_eq!(got.headers.contains_key("access-control-allow-methods"), !origin.is_empty());
    }
    assert!(!get(&api, "/api/v1/nope").await.headers.contains_key("vary"));
}
