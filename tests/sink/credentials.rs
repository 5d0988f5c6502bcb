//! Credentials and certificates that change under traffic: a running topology goes on with the new ones, and
//! no record is lost or rejected for it.

use std::path::Path;

use serde_json::json;
use testkit::gate::{Gate, Shown};
use testkit::scratch::Scratch;
use testkit::sink::{LIMIT, Run, Setup, server};
use testkit::wait;

const FIRST: &str = "Basic aXNvYmFyOmZpcnN0";
const SECOND: &str = "Basic aXNvYmFyOnNlY29uZA==";

/// Puts a whole file in the place of one that may be there, at once.
fn replace(directory: &Path, name: &str, text: impl AsRef<[u8]>) {
    let new = directory.join("new");
    std::fs::write(&new, text).expect("room for a file");
    std::fs::rename(new, directory.join(name)).expect("in one directory");
}

/// A topology that logs in at a gate with the files `password` and `ca.pem` of a directory.
fn setup(name: &'static str, gate: &Gate, files: &Path) -> Setup {
    let password = format!("${{file:{}}}", files.join("password").display());
    let auth = json!({"basic": {"username": "isobar", "password": password}});
    let tls = json!({"ca": files.join("ca.pem")});
    Setup {
        connection: json!({"request_timeout": "30s", "auth": auth, "tls": tls}),
        records: 5_000,
        ..Setup::to(name, gate.url())
    }
}

/// Lets so many requests pass, and waits until another one is at the gate.
fn pass(gate: &Gate, run: &Run, requests: u64) {
    gate.pass(requests);
    wait::until("a request that waits", LIMIT, || {
        let is_at_gate = gate.is_closed() && gate.waiting() > 0;
        (is_at_gate.then_some(())).ok_or_else(|| anyhow::anyhow!("{:?}", run.conditions()))
    })
    .expect("it comes");
}

#[test]
fn a_password_and_a_certificate_that_change_under_traffic_lose_and_reject_nothing() {
    let (server, files) = (server(), Scratch::new("sink-credentials").expect("room"));
    let files = files.path();
    let shown = [1, 2].map(|number| Shown::make(number).expect("a certificate"));
    replace(files, "password", "first\n");
    replace(files, "ca.pem", shown[0].pem());
    let gate = Gate::start(&server.address(), &shown[0], FIRST).expect("a port");
    let setup = setup("credentials-change", &gate, files);
    let run = setup.start();
    pass(&gate, &run, 10);

    // The new password is there before the old one is of no more use, as a rotation should be.
    replace(files, "password", "second\n");
    gate.let_in(SECOND);
    pass(&gate, &run, 10);
    assert_eq!(run.conditions(), Vec::<String>::new());
    assert!(
        gate.turned_away() > 0,
        "what waited had the password before"
    );

    // Both authorities are trusted before the other certificate is shown.
    replace(files, "ca.pem", [shown[0].pem(), shown[1].pem()].concat());
    gate.show(&shown[1]).expect("sound");
    gate.pass(u64::MAX);

    let ran = run.finish();
    ran.assert_exact(&setup, &server);
    assert_eq!(ran.count("credentials_reloads"), 2);
    assert_eq!(ran.count("credentials_reloads_refused"), 0);
}

/// No server of the tests makes API keys. What they say of it: `ApiKey`, and identifier and key in base64.
#[test]
fn an_api_key_is_sent_in_either_form_and_read_again_when_it_changes() {
    let (server, files) = (server(), Scratch::new("sink-key").expect("room"));
    let files = files.path();
    let shown = Shown::make(1).expect("a certificate");
    replace(files, "key", "id:one\n");
    replace(files, "ca.pem", shown.pem());
    let gate = Gate::start(&server.address(), &shown, "ApiKey aWQ6b25l").expect("a port");
    let setup = setup("credentials-key", &gate, files);
    let key = format!("${{file:{}}}", files.join("key").display());
    let connection = json!({
        "request_timeout": "30s",
        "auth": {"api_key": key},
        "tls": {"ca": files.join("ca.pem")},
    });
    let setup = Setup {
        connection,
        ..setup
    };
    let run = setup.start();
    pass(&gate, &run, 10);
    // As it is shown when it is made.
    replace(files, "key", "aWQ6dHdv\n");
    gate.let_in("ApiKey aWQ6dHdv");
    gate.pass(u64::MAX);
    let ran = run.finish();
    ran.assert_exact(&setup, &server);
    assert_eq!(ran.count("credentials_reloads"), 1);
}

#[test]
fn what_a_wrong_password_holds_goes_on_when_the_right_one_is_there() {
    let (server, files) = (server(), Scratch::new("sink-held").expect("room"));
    let files = files.path();
    let shown = Shown::make(1).expect("a certificate");
    replace(files, "password", "first");
    replace(files, "ca.pem", shown.pem());
    let gate = Gate::start(&server.address(), &shown, FIRST).expect("a port");
    let setup = setup("credentials-held", &gate, files);
    let run = setup.start();
    pass(&gate, &run, 10);

    gate.let_in(SECOND);
    gate.pass(u64::MAX);
    let held = run.condition("connecting");
    assert!(held.contains("401 security_exception"), "{held}");
    // As a file is that is being written.
    replace(files, "password", "");
    let refused = run.condition("credentials");
    let file = files.join("password").display().to_string();
    assert_eq!(
        refused,
        format!(
            "auth.basic.password: {file} cannot be used: it is empty. What was read before stays in use"
        )
    );
    replace(files, "password", "second");

    let ran = run.finish();
    ran.assert_exact(&setup, &server);
    let counts = ["credentials_reloads", "credentials_reloads_refused"].map(|name| ran.count(name));
    assert_eq!(counts, [1, 1]);
}
