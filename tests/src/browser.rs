//! A headless Chromium, driven over its DevTools protocol through two named pipes: no port, no driver,
//! no crate. What it loads and what goes wrong in it is kept for the test to judge.
//!
//! The protocol: <https://chromedevtools.github.io/devtools-protocol/>; over pipes each message is JSON
//! that ends with a zero byte.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::{Launch, Process};
use crate::scratch::Scratch;
use crate::services::setting;
use crate::wait;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// A browser with one page. Dropping it kills it.
pub struct Browser {
    // Before the directory, so that it is gone when its profile goes.
    process: Process,
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    requests: Vec<String>,
    errors: Vec<String>,
    _scratch: Scratch,
}

impl Browser {
    /// Starts it with an empty page. Needs `chromium` on the path (Debian package chromium).
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new("browser")?;
        let path = |name: &str| scratch.path().join(name);
        let pipes = path("pipe");
        let (to, from) = (path("pipe.to"), path("pipe.from"));
        let log = path("chromium.log");
        Process::run(Launch::new("mkfifo", &log).arguments([&to, &from]), ANSWER)?;
        // Opened for both, a named pipe waits for nobody.
        let open = |pipe: &Path| OpenOptions::new().read(true).write(true).open(pipe);
        let (to, from) = (open(&to)?, open(&from)?);
        // The browser takes commands from descriptor 3 and answers on 4.
        let launch = Launch::new("sh", &log)
            .arguments(["-c", r#"exec "$@" 3<>"$0.to" 4<>"$0.from""#])
            .arguments([&pipes])
            .arguments(["chromium", "--headless", "--remote-debugging-pipe"])
            // Its sandbox does not run as root; it loads nothing but pages of the test.
            .arguments(["--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .arguments(["--no-first-run", "--disable-background-networking"])
            .arguments([format!("--user-data-dir={}", path("profile").display())])
            .environment("HOME", scratch.path());
        let process = Process::start(launch)?;
        let (send, receive) = sync_channel(10_000);
        let _reader = std::thread::spawn(move || {
            for message in BufReader::new(from).split(0) {
                let message = message.ok().and_then(|m| serde_json::from_slice(&m).ok());
                let Some(message) = message else { return };
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            to,
            from: receive,
            session: None,
            calls: 0,
            requests: Vec::new(),
            errors: Vec::new(),
            _scratch: scratch,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &attach)?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            let _ = browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Goes to an address, or loads the page again. It need not be loaded when this returns.
    pub fn go(&mut self, url: &str) -> Result<()> {
        let went = self.call("Page.navigate", &json!({"url": url}))?;
        match went["errorText"].as_str() {
            None => Ok(()),
            Some(error) => bail!("{url}: {error}"),
        }
    }

    /// Shows the page so wide, in CSS pixels, and in dark or light colours.
    pub fn show(&mut self, width: u32, dark: bool) -> Result<()> {
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        let _ = self.call("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        let _ = self.call("Emulation.setEmulatedMedia", &media)?;
        Ok(())
    }

    /// The value of an expression of JavaScript in the page.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({"expression": expression, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", &asked)?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].clone()),
            Some(exception) => bail!("{expression}: {exception}"),
        }
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str, limit: Duration) -> Result<()> {
        wait::until(expression, limit, || match self.value(expression)? {
            Value::Bool(true) => Ok(()),
            other => bail!("it is {other}"),
        })
    }

    /// Presses a key, by its name in the DOM such as `Tab` or `ArrowRight`.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            other => bail!("no code is known of the key {other}"),
        };
        // Without its text, Enter neither presses a button nor sends a form.
        let (down, text) = match key {
            "Enter" => ("keyDown", "\r"),
            _ => ("rawKeyDown", ""),
        };
        for (kind, text) in [(down, text), ("keyUp", "")] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            let _ = self.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Types a text where the focus is.
    pub fn write(&mut self, text: &str) -> Result<()> {
        let _ = self.call("Input.insertText", &json!({"text": text}))?;
        Ok(())
    }

    /// The whole page as a picture (PNG). With `ISOBAR_PICTURES` it is kept in that directory, for people to look at.
    pub fn picture(&mut self, name: &str) -> Result<Vec<u8>> {
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", &asked)?;
        let data = picture["data"].as_str().context("no picture")?;
        let picture = openssl::base64::decode_block(data)?;
        if let Some(directory) = setting("ISOBAR_PICTURES") {
            let directory = Path::new(&directory);
            std::fs::create_dir_all(directory)?;
            std::fs::write(directory.join(format!("{name}.png")), &picture)?;
        }
        Ok(picture)
    }

    /// Every address that was asked for so far.
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    /// Errors and warnings of the console, and exceptions, since this was asked last.
    pub fn errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to.write_all(&bytes)?;
        loop {
            let answer = self.from.recv_timeout(ANSWER);
            let answer =
                answer.with_context(|| format!("{method}\n{}", self.process.log_tail()))?;
            if answer["id"] == self.calls {
                return match answer.get("error") {
                    None => Ok(answer["result"].clone()),
                    Some(error) => bail!("{method}: {error}"),
                };
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_owned());
            }
            "Runtime.exceptionThrown" | "Log.entryAdded" => self.errors.push(params.to_string()),
            "Runtime.consoleAPICalled" if params["type"] != "log" => {
                self.errors.push(params.to_string());
            }
            _ => {}
        }
    }
}
