//! Tokens of a rate limit inside a task: whom the entrypoint asks, how, and what it makes of each answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::thread::{JoinHandle, spawn};

use serde_json::{Value, json};

/// What the function was asked: the request's first line, its headers, its body.
type Asked = (String, Vec<String>, Value);

/// A Lambda endpoint that gives these answers, one to each call, and then is gone.
fn endpoint(answers: Vec<(u16, Value)>) -> (String, JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = spawn(move || {
        let answer = |(status, body): &(u16, Value)| {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            let length = lines
                .iter()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut asked = vec![0; length.unwrap()];
            reader.read_exact(&mut asked).unwrap();
            let body = body.to_string();
            let head =
                format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            (&stream).write_all((head + &body).as_bytes()).unwrap();
            (lines.remove(0), lines, serde_json::from_slice(&asked).unwrap())
        };
        answers.iter().map(answer).collect()
    });
    (url, served)
}

fn entrypoint(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cauce-run"));
    command.env_clear().args(["limits", "take"]).args(arguments);
    command
}

fn on_aws(arguments: &[&str], url: &str) -> Output {
    let variables = [
        ("CAUCE_TAKE_TOKENS", "shop-dev-take-tokens"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_ENDPOINT_URL", url),
    ];
    entrypoint(arguments).envs(variables).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_function_is_asked_by_a_signed_call_until_it_answers() {
    let taken = json!({"taken": true, "start_at": "2026-01-05T00:00:00Z", "wait_micros": 1000});
    let (url, served) = endpoint(vec![(503, json!({})), (429, json!({})), (200, taken)]);
    let output = on_aws(&["sec", "--tokens", "3", "--timeout", "60"], &url);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    let asked = served.join().unwrap();
    assert_eq!(asked.len(), 3);
    for (line, headers, body) in asked {
        assert_eq!(line, "POST /2015-03-31/functions/shop-dev-take-tokens/invocations HTTP/1.1");
        assert_eq!(body, json!({"limit": "sec", "tokens": 3, "within_seconds": 60}));
        let header = |name: &str| {
            let found = headers.iter().find(|header| header.to_lowercase().starts_with(name));
            found.unwrap_or_else(|| panic!("{name} {headers:?}")).clone()
        };
        let signed = header("authorization: ");
        assert!(signed.contains("Credential=AKIDEXAMPLE/"), "{signed}");
        assert!(signed.contains("/eu-west-1/lambda/aws4_request"), "{signed}");
        assert!(signed.contains("x-amz-security-token"), "{signed}");
        assert!(header("x-amz-security-token: ").ends_with("session"));
    }
}

#[test]
fn each_answer_has_its_exit_code_and_its_words() {
    let late = json!({"taken": false, "start_at": "2026-01-05T00:00:00Z", "wait_micros": 1});
    let unknown = json!({"errorType": "Cauce.Undeclared", "errorMessage": "there is no rate limit 'sec'"});
    let refused =
        json!({"errorType": "Cauce.Denied", "errorMessage": "the limit 'sec' gives 5 at once at most"});
    let broken = json!({"errorType": "Runtime.ExitError", "errorMessage": "signal: killed"});
    for (status, answer, code, words) in [
        (200, late, 1, "nothing is taken: the limit 'sec' has its next start at 2026-01-05T00:00:00Z"),
        (200, unknown, 2, "there is no rate limit 'sec'"),
        (200, refused, 2, "the limit 'sec' gives 5 at once at most"),
        (200, broken, 3, "cannot ask shop-dev-take-tokens: Runtime.ExitError: signal: killed"),
        (403, json!({"message": "not authorized"}), 3, "status 403: {\"message\":\"not authorized\"}"),
        (200, json!({"taken": true}), 3, "it answered {\"taken\":true}"),
    ] {
        let (url, served) = endpoint(vec![(status, answer)]);
        let output = on_aws(&["sec"], &url);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert_eq!(served.join().unwrap()[0].2, json!({"limit": "sec", "tokens": 1, "within_seconds": null}));
    }
}

#[test]
fn on_one_machine_the_program_cauce_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let cauce = folder.path().join("cauce");
    std::fs::write(&cauce, "#!/bin/sh\necho \"$@\"\nexit 1\n").unwrap();
    std::fs::set_permissions(&cauce, std::fs::Permissions::from_mode(0o755)).unwrap();
    // As a copy, it has the program beside it.
    let own = folder.path().join("cauce-run");
    std::fs::copy(env!("CARGO_BIN_EXE_cauce-run"), &own).unwrap();
    let output = Command::new(own)
        .args(["limits", "take", "sec", "--timeout", "5"])
        .env("CAUCE_LOCAL_STATE", "/state")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let asked = String::from_utf8(output.stdout).unwrap();
    assert_eq!(asked, "--state-dir /state limits take sec --tokens 1 --timeout 5\n");
}

#[test]
fn what_cannot_be_asked_is_said() {
    for (arguments, words) in [
        (&[][..], "no limit is named"),
        (&["sec", "--tokens", "0"], "--tokens takes a number from 1 to 1000000, not '0'"),
        (&["sec", "--tokens"], "--tokens takes a number from 1 to 1000000"),
        (&["sec", "--timeout", "soon"], "--timeout takes a number of seconds, not 'soon'"),
        (&["sec", "--wait"], "'--wait' is not known"),
        (&["sec", "erp"], "'erp' is one name too many"),
    ] {
        let output = entrypoint(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(said(&output).contains("usage: cauce-run limits take"), "{}", said(&output));
    }
    let nowhere = entrypoint(&["sec"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(3));
    assert!(said(&nowhere).contains("this is no task of cauce"), "{}", said(&nowhere));
    // A program of that name is a program.
    let program =
        Command::new(env!("CARGO_BIN_EXE_cauce-run")).args(["--", "limits", "take"]).output().unwrap();
    assert_eq!(program.status.code(), Some(127));
}
