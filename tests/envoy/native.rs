//! The native door in a real Envoy.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on stops")]

use kit::envoy::{Door, library};
use kit::scene::Scene;

#[test]
fn probe() {
    let Some(_) = library() else { return };
    let config = r#"{"version":1,"identity":[{"header":"x-user"}],"flags":{"checkout":{"type":"release","owner":"a","match":{"paths":["/"]},"route":{"header":"x-upstream-version"},"variants":["v1","v2"],"baseline":"v1","rules":[{"percent":50,"serve":"v2"}]}}}"#;
    let envoy = Scene::new(config).door(Door::Native).log_levels("warning", "info").start();
    let mut client = envoy.client();
    for user in 0..4 {
        let answer = client
            .send(&kit::http::Request::get("/").header("x-user", &user.to_string()).header("X-Flag-Checkout", "evil"));
        println!("{} {}", answer.status, answer.text());
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    println!("{}", envoy.admin_get("/stats?filter=tidegate"));
    println!("{}", envoy.admin_get("/stats/prometheus?filter=tidegate"));
    println!("{}", envoy.log());
}
