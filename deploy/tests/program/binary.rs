//! The built program, for what needs no outside system.

use std::process::Output;
use std::time::Duration;

use ::isobar::cli::Cli;
use clap::{CommandFactory, Parser};
use testkit::process::{Launch, Process};
use testkit::{http, ports};

use crate::support::{File, built_program, missing_kafka};

fn isobar(arguments: &[&str]) -> Output {
    let mut command = built_program();
    command.args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = isobar(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let shown = text(&help.stdout);
    assert!(
        shown.contains("Exit codes:") && shown.contains("  4  could not be determined"),
        "{shown}"
    );
    let version = text(&isobar(&["--version"]).stdout);
    assert!(
        version.starts_with(concat!("isobar ", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
}

/// Every command as its page of the manual is called, with the long names of its own options.
fn collect(command: &clap::Command, name: &str, found: &mut Vec<(String, Vec<String>)>) {
    let options = command.get_arguments().filter(|one| !one.is_hide_set());
    let options = options.filter_map(|one| one.get_long().map(str::to_owned));
    found.push((name.to_owned(), options.collect()));
    for inner in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        collect(inner, &format!("{name}-{}", inner.get_name()), found);
    }
}

#[test]
fn shells_and_manuals_know_every_command() {
    let mut commands = Vec::new();
    let command = Cli::command();
    collect(&command, "isobar", &mut commands);
    assert!(commands.len() > 25, "{commands:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = isobar(&["completions", shell]);
        assert_eq!(script.status.code(), Some(0), "{shell}");
        let script = text(&script.stdout);
        for (path, options) in &commands {
            let name = path.rsplit('-').next().unwrap_or_default();
            assert!(script.contains(name), "{shell}: {path}");
            for option in options {
                assert!(script.contains(option.as_str()), "{shell}: {path} {option}");
            }
        }
    }
    let file = File::new("man", "");
    let directory = file.path.with_file_name("man1");
    let made = isobar(&["man", "--to", directory.to_str().expect("text")]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    for (path, options) in &commands {
        let page = std::fs::read_to_string(directory.join(format!("{path}.1")));
        let page = page.unwrap_or_else(|error| panic!("{path}: {error}"));
        for option in options {
            // Roff has a backslash before each dash.
            let written = option.replace('-', "\\-");
            assert!(page.contains(&written), "{path} {option}");
        }
        let title = format!(".TH {path} 1 \"\" \"isobar {}", env!("CARGO_PKG_VERSION"));
        assert!(page.starts_with(&title), "{page}");
        let examples = page.matches("\n.SH \"EXAMPLES\"\n").count();
        assert_eq!(examples, 1, "{page}");
    }
    let page = std::fs::read_to_string(directory.join("isobar-try.1")).expect("it is there");
    assert!(
        page.contains("joins no group")
            && page.contains(".SH \"EXAMPLES\"\n.PP\n.nf\n  isobar try"),
        "{page}"
    );
    let page = text(&isobar(&["man"]).stdout);
    assert!(
        page.contains(".TH isobar 1")
            && page.contains(".SH \"EXIT STATUS\"\n.PP\n.nf\n  0  done\n"),
        "{page}"
    );
}

#[test]
fn graphs_are_drawn_in_three_languages() {
    let file = File::new("graph", UNREACHABLE);
    let path = file.path.to_str().expect("text");
    let drawn = text(&isobar(&["graph", path]).stdout);
    let expected = "\
flowchart LR
  n_logs([\"logs<br/><i>kafka</i>\"])
  n_end[(\"end<br/><i>blackhole</i>\")]
  n_logs --> n_end
";
    assert_eq!(drawn, expected);
    let drawn = text(&isobar(&["graph", path, "-o", "dot"]).stdout);
    assert!(
        drawn.contains(
            "  \"end\" [label=\"end\\nblackhole\", shape=cylinder]\n  \"logs\" -> \"end\""
        ),
        "{drawn}"
    );
    let drawn = text(&isobar(&["graph", path, "-o", "svg"]).stdout);
    assert!(
        drawn.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"")
            && drawn.ends_with("</svg>\n"),
        "{drawn}"
    );
    let cards = drawn.matches("<rect class=\"card\"").count();
    assert_eq!((cards, drawn.matches("<path class=\"line").count()), (2, 1));
    // All of it is in the file.
    for outside in ["href", "<image", "<script", "@import", "src="] {
        assert!(!drawn.contains(outside), "{outside}");
    }
}

#[test]
fn usage_is_2_with_what_was_meant() {
    let wrong = isobar(&["valdate", "x"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("'validate'"),
        "{}",
        text(&wrong.stderr)
    );
    assert_eq!(text(&wrong.stdout), "");
    assert_eq!(isobar(&[]).status.code(), Some(2));
    let http = isobar(&["run", "x", "--http", "8080"]);
    assert!(text(&http.stderr).contains("write HOST:PORT such as 127.0.0.1:10132, or off"));
}

#[test]
fn options_that_would_do_nothing_are_refused_by_name() {
    for line in [
        "lag FILE --group",
        "lag FILE --topic",
        "lag FILE --tls-ca",
        "lag FILE --sasl-username",
        "lag FILE --brokers",
        "generate --for FILE --brokers",
        "generate --for FILE --topic",
        "generate --for FILE --tls-ca",
        "try FILE --stdin --to",
        "try FILE --stdin --topic",
        "try FILE --stdin --sample",
    ] {
        let words = line.split(' ').chain(["9"]);
        let refused = Cli::try_parse_from(["isobar"].into_iter().chain(words));
        let text = refused.expect_err(line).to_string();
        let option = line.rsplit(' ').next().expect("the last word");
        assert!(
            text.contains("cannot be used with") && text.contains(option),
            "{line}: {text}"
        );
    }
}

#[test]
fn values_and_options_that_would_be_passed_over_are_refused_with_what_to_write() {
    let push = "run FILE --push-otlp http://a:4318";
    for (line, expected) in [
        (
            "run FILE --push-every 1m",
            "--push-influx <URL>|--push-otlp",
        ),
        (
            "run FILE --push-headers x",
            "--push-influx <URL>|--push-otlp",
        ),
        (&*format!("{push} --push-every 0s"), "write 1s or more"),
        (&*format!("{push} --push-every 900ms"), "write 1s or more"),
        // It goes on for ever, so nothing is judged at its end, nor printed.
        ("lag FILE --serve a:1 --fail-above 9", "'--fail-above"),
        ("lag FILE --serve a:1 --fail-older 5m", "'--fail-older"),
        ("lag FILE --serve a:1 --fail-status slow", "'--fail-status"),
        ("lag FILE --serve a:1 -o json", "'--output"),
        ("run FILE --peers http://a:1/lag", "write http://HOST:PORT"),
        ("run FILE --peers http://a:1?x=y", "write http://HOST:PORT"),
    ] {
        let words = line.split(' ');
        let refused = Cli::try_parse_from(["isobar"].into_iter().chain(words));
        let text = refused.expect_err(line).to_string();
        assert!(text.contains(expected), "{line}: {text}");
    }
    for line in [&format!("{push} --push-every 1s"), "lag http://a:1/"] {
        let words = line.split(' ');
        let parsed = Cli::try_parse_from(["isobar"].into_iter().chain(words));
        assert!(parsed.is_ok(), "{line}");
    }
}

#[test]
fn files_of_a_connection_are_read_before_anybody_is_asked() {
    let brokers = ["--brokers", "127.0.0.1:9"];
    for (command, option) in [
        (&["lag", "--group", "g"][..], "--tls-ca"),
        (&["generate", "--topic", "t"], "--tls-ca"),
        (&["init", "--topic", "t"], "--tls-ca"),
        (&["init", "--topic", "t"], "--es-ca"),
    ] {
        // The second one is there, and is a directory.
        for file in ["/no/such.pem", "/"] {
            let refused = isobar(&[command, &brokers, &[option, file]].concat());
            let error = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{command:?}: {error}");
            let expected = format!("{option} {file}: cannot be read: ");
            assert!(error.starts_with(&expected), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
    for line in ["run FILE --from-group", "lag --brokers a:1 --group"] {
        let words = line.split(' ').chain([""]);
        let refused = Cli::try_parse_from(["isobar"].into_iter().chain(words));
        let text = refused.expect_err(line).to_string();
        assert!(text.contains("a value is required for"), "{text}");
    }
}

#[test]
fn a_file_that_is_there_is_not_written_over_and_nobody_is_asked() {
    let file = File::new("init-out", "mine");
    let path = file.path.to_str().expect("text");
    let arguments = ["init", "--brokers", "127.0.0.1:9", "--topic", "t"];
    let refused = isobar(&[&arguments[..], &["--out", path]].concat());
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(error.starts_with(&format!("--out {path}: ")), "{error}");
    let kept = std::fs::read_to_string(&file.path).expect("it is there");
    assert_eq!(kept, "mine");
}

#[test]
fn a_missing_file_is_2() {
    let missing = isobar(&["validate", "/no/such/file.yaml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert_eq!(
        text(&missing.stderr),
        "/no/such/file.yaml: cannot be read: No such file or directory (os error 2); expected a text file in UTF-8\n"
    );
    let missing = isobar(&["validate", "x", "--env-file", "/no/such.env"]);
    assert_eq!(
        text(&missing.stderr),
        "/no/such.env: cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_log_level_that_is_none_is_2() {
    for level in ["isobar=loud", "loud"] {
        let wrong = isobar(&["--log-level", level, "validate", "x"]);
        assert_eq!(wrong.status.code(), Some(2));
        let error = text(&wrong.stderr);
        let list = "expected one of off, error, warn, info, debug, trace";
        assert!(
            error.contains("is not valid") && error.contains(list),
            "{error}"
        );
    }
}

#[test]
fn what_a_replay_cannot_be_made_of_is_refused_before_anybody_is_asked() {
    let file = File::new("no-plan", "isobar: 1\n");
    let path = file.path.to_str().expect("text");
    let refused = isobar(&["replay", "run", path]);
    assert_eq!(refused.status.code(), Some(2));
    let expected = format!("{path}: is no plan of a replay; `isobar replay plan` makes one\n");
    assert_eq!(text(&refused.stderr), expected);

    let range = ["--from", "5", "--to", "2", "--target", "missing"];
    let refused = isobar(&[&["replay", "plan", path], &range[..]].concat());
    assert_eq!(refused.status.code(), Some(2));
    let expected = "--from 5 --to 2: the range ends before it starts\n";
    assert_eq!(text(&refused.stderr), expected);
}

#[test]
fn generated_lines_are_the_same_for_the_same_seed_and_start() {
    let lines = |seed: &str| {
        let start = "2026-01-01T00:00:00Z";
        let arguments = [
            "generate",
            "--count",
            "1200",
            "--start-time",
            start,
            "--seed",
            seed,
        ];
        let made = isobar(&arguments);
        assert_eq!(made.status.code(), Some(0));
        text(&made.stdout)
    };
    let first = lines("5");
    assert_eq!(first.lines().count(), 1_200);
    assert_eq!(first, lines("5"));
    assert_ne!(first, lines("6"));
    assert!(first.starts_with("{\"timestamp\":\"2026-01-01T00:00:00.000Z\""));
}

#[test]
fn generating_to_nobody_says_who_does_not_answer() {
    let arguments = [
        "generate",
        "--topic",
        "logs",
        "--brokers",
        "127.0.0.1:9",
        "--timeout",
        "300ms",
    ];
    let made = isobar(&arguments);
    assert_eq!(made.status.code(), Some(4));
    let error = text(&made.stderr);
    assert!(
        error.starts_with(
            "asking for topic logs: no answer from 127.0.0.1:9 within 300ms (127.0.0.1:9/"
        ),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    let arguments = ["generate", "--topic", "logs", "--brokers", "http://a:1"];
    let wrong = isobar(&arguments);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(
        text(&wrong.stderr),
        "brokers: \"http://a:1\" must be host:port without a scheme; encryption follows from `tls`\n"
    );
}

/// A topology whose Kafka nobody serves.
const UNREACHABLE: &str = "\
isobar: 1
name: unreachable
connections:
  kafka: {type: kafka, brokers: \"127.0.0.1:9\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  end: {type: blackhole, inputs: [logs], on_rejected: drop}
";

#[test]
fn a_bounded_run_gives_up_on_brokers_that_do_not_answer() {
    let file = File::new("unreachable-bounded", UNREACHABLE);
    let path = file.path.to_str().expect("text");
    let deadline = ["--exit-when-caught-up", "--give-up-after", "1s"];
    let mut arguments = vec!["run", path, "--http", "off", "-o", "json", "--log", "json"];
    arguments.extend(deadline);
    let ended = isobar(&arguments);
    let errors = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(report["end"], "gave_up");
    let why = report["why"][0].as_str().unwrap_or_default();
    assert!(
        why.contains("logs: ") && why.contains("127.0.0.1:9"),
        "{why}"
    );
    let lag = report["lag"][0]["failure"].as_str().unwrap_or_default();
    assert!(lag.contains("127.0.0.1:9"), "{report}");
    // A client that is on its way out may still log after the last word.
    let (words, log): (Vec<&str>, Vec<&str>) = errors
        .lines()
        .partition(|line| line.starts_with("isobar: "));
    assert_eq!(words.len(), 1, "{errors}");
    assert!(
        words[0].starts_with("isobar: gave up: nothing was read or settled for 1s"),
        "{errors}"
    );
    for line in log {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn a_run_without_brokers_says_so_and_stops_when_asked() {
    let file = File::new("unreachable", UNREACHABLE);
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let log = file.path.with_extension("log");
    let launch = Launch::new(env!("CARGO_BIN_EXE_isobar"), &log)
        .arguments(["run", "--http", &address])
        .arguments([&file.path]);
    let mut process = Process::start(launch).expect("it starts");
    let limit = Duration::from_secs(30);
    let reasons = missing_kafka(&mut process, &address);
    assert_eq!(reasons.status, 503);
    assert!(
        reasons.text().starts_with("not ready\nlogs: "),
        "{}",
        reasons.text()
    );
    assert_eq!(
        http::get(&address, "/healthz").expect("an answer").status,
        200
    );
    let lag = http::get(&address, "/lag").and_then(|lag| lag.json());
    let lag: serde_json::Value = lag.expect("JSON");
    assert_eq!(
        (&lag["status"], &lag["spouts"][0]["lag"]),
        (&"NO_DATA".into(), &serde_json::Value::Null),
        "{lag}"
    );
    let url = format!("http://{address}");
    let asked = isobar(&["lag", &url, "--fail-status", "slow"]);
    assert_eq!(asked.status.code(), Some(4), "{}", text(&asked.stderr));
    assert_eq!(process.stop(limit).expect("it ends").code(), Some(0));
    let log = std::fs::read_to_string(&log).expect("it logged");
    let unknown = "no answer from 127.0.0.1:9 within 2s";
    assert_eq!(log.matches(unknown).count(), 1, "{log}");
    assert!(
        log.contains("unreachable: stopped by SIGTERM after "),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "no colours outside of a terminal");
}

#[test]
fn records_for_a_topology_go_where_it_reads() {
    let file = File::new("generate-for", UNREACHABLE);
    let path = file.path.to_str().expect("text");
    let made = isobar(&["generate", "--for", path, "--timeout", "300ms"]);
    assert_eq!(made.status.code(), Some(4));
    let error = text(&made.stderr);
    assert!(
        error.starts_with("asking for topic logs: no answer from 127.0.0.1:9"),
        "{error}"
    );
    let without = isobar(&["generate", "--partitions", "3"]);
    assert_eq!(without.status.code(), Some(2));
    let both = isobar(&[
        "generate",
        "--for",
        path,
        "--topic",
        "x",
        "--brokers",
        "a:1",
    ]);
    assert_eq!(both.status.code(), Some(2));
}
