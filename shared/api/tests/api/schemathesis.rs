//! A tool that knows nothing of this code reads the OpenAPI document and calls the served router with what it
//! allows and with what it does not: <https://schemathesis.readthedocs.io>.

use crate::served::{Here, token, wait};
use cauce_api::{Desk, front, router};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

/// Its own checks, without those that hold for other interfaces only.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
    response_headers_conformance,negative_data_rejection,unsupported_method,ignored_auth,missing_required_header";

/// Calls for each operation and phase; the whole takes some seconds.
const EXAMPLES: &str = "25";

#[expect(clippy::disallowed_methods, reason = "where tools are installed is the environment's to say")]
fn tool() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("cauce/venv/schemathesis/bin/schemathesis")).filter(|path| path.is_file())
}

#[test]
fn the_served_router_keeps_what_its_document_says() {
    let Some(tool) = tool() else {
        eprintln!("skipped: needs schemathesis (make tools)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let here = Here::new();
    crate::served::Api::new(&here).start("sales");
    let output = wait(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (front, mut inbox) = front();
        let serving = tokio::spawn(async move { axum::serve(listener, router(front)).await });
        let desk = Desk::new(&here, Rc::default());
        let mut command = Command::new(tool);
        command
            .args(["run", &format!("http://{address}/openapi.json"), "--checks", CHECKS, "--seed", "1"])
            .args(["--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing"])
            .args(["--header", &format!("Authorization:Bearer {}", token("ops"))])
            .args([
                "--no-color",
                "--warnings",
                "off",
                "--generation-database",
                "none",
                "--max-failures",
                "20",
            ])
            .current_dir(folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let called = tokio::task::spawn_blocking(move || command.output());
        let output = tokio::select! {
            output = called => output.unwrap().unwrap(),
            () = desk.serve(&mut inbox) => panic!("the router has gone"),
        };
        serving.abort();
        output
    });
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        here.warned
            .borrow()
            .iter()
            .all(|line| line.contains("secret:hooks/none") || line.contains("no key to check")),
        "{:?}",
        here.warned.borrow()
    );
}
