//! The stand-in bulk server as a program: `bulk-server [--port N] [--no-ids] [--delay MS] [--ages]`. It runs until it is
//! ended; `GET /_stats` tells what it has counted.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use testkit::bulk_server::{BulkServer, Options};

const USAGE: &str = "bulk-server [--port N] [--no-ids] [--delay MS] [--ages]";

fn main() -> Result<()> {
    let options = options(std::env::args().skip(1))?;
    let server = BulkServer::start(options)?;
    #[expect(
        clippy::print_stdout,
        reason = "the address is what this program is asked for"
    )]
    {
        println!("listening on {}", server.url());
    }
    loop {
        std::thread::park();
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => {
                let port = arguments.next().context("--port needs a number")?;
                options.port = port.parse().with_context(|| format!("no port: {port}"))?;
            }
            "--delay" => {
                let argument = arguments.next().context("--delay needs a number of ms")?;
                let delay = argument
                    .parse()
                    .with_context(|| format!("no number: {argument}"))?;
                options.delay = Duration::from_millis(delay);
            }
            "--ages" => options.count_ages = true,
            "--no-ids" => options.keep_ids = false,
            _ => bail!("unknown argument {argument}; usage: {USAGE}"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_set_options() {
        let parse = |text: &str| options(text.split_whitespace().map(str::to_owned));
        let expected = Options {
            port: 9200,
            keep_ids: false,
            delay: Duration::from_millis(5),
            ..Options::default()
        };
        assert_eq!(
            parse("--port 9200 --no-ids --delay 5").expect("both are known"),
            expected
        );
        assert!(
            parse("--ids")
                .expect_err("unknown")
                .to_string()
                .contains(USAGE)
        );
        let _ = parse("--port x").expect_err("not a number");
    }
}
