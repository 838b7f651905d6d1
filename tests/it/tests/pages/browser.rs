//! A real Chromium, driven through the real chromedriver. Judges nothing.
use std::{process::Stdio, sync::LazyLock};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, WebElement};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use crate::harness::{HTTP, Invar, PATIENCE, eventually, missing};

/// A browser with a profile of its own. The session ends before its driver does.
pub(super) struct Browser {
    driver: WebDriver,
    base: String,
    _chromedriver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Opens one on a dashboard; none where there is no browser, which is said loudly.
    pub(super) async fn open(invar: &Invar) -> Option<Self> {
        Self::open_with(invar, None).await
    }

    /// A small one, `width` CSS pixels wide, as a phone has.
    pub(super) async fn open_narrow(invar: &Invar, width: u32) -> Option<Self> {
        Self::open_with(invar, Some(width)).await
    }

    async fn open_with(invar: &Invar, phone: Option<u32>) -> Option<Self> {
        let spawned = tokio::process::Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut chromedriver) = spawned else {
            missing("chromedriver");
            return None;
        };
        let mut lines = BufReader::new(chromedriver.stdout.take().unwrap()).lines();
        let port = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    return port.trim_end_matches('.').to_owned();
                }
            }
            panic!("chromedriver ended before it listened");
        });
        let port = port.await.expect("chromedriver did not say its port");
        // What it says later must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let flags =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000"];
        for flag in flags.into_iter().chain([folder.as_str()]) {
            wanted.add_arg(flag).unwrap();
        }
        if let Some(width) = phone {
            let metrics = json!({"deviceMetrics": {"width": width, "height": 800, "pixelRatio": 1.0}});
            wanted.add_experimental_option("mobileEmulation", metrics).unwrap();
        }
        // The client of the driver wants a TLS library to be there, though it speaks to loopback only.
        LazyLock::force(&HTTP);
        let driver = match WebDriver::new(format!("http://127.0.0.1:{port}"), wanted).await {
            Ok(driver) => driver,
            Err(error) if error.to_string().contains("cannot find") => {
                missing("Chromium");
                return None;
            }
            Err(error) => panic!("the browser did not start: {error}"),
        };
        Some(Browser { driver, base: invar.api.base().to_owned(), _chromedriver: chromedriver, _profile: profile })
    }

    pub(super) async fn goto(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.base)).await.unwrap();
    }

    /// The path of the page that is shown, with its query.
    pub(super) async fn path(&self) -> String {
        self.driver.current_url().await.unwrap().as_str().trim_start_matches(&self.base).to_owned()
    }

    /// The element, as soon as it is there.
    #[track_caller]
    pub(super) fn find(&self, css: &str) -> impl Future<Output = WebElement> {
        let at = std::panic::Location::caller();
        async move {
            let found = eventually(PATIENCE, async || self.driver.find(By::Css(css)).await.ok()).await;
            match found {
                Some(found) => found,
                None => panic!("{at}: {css} did not come; the page says:\n{}", self.text("body").await),
            }
        }
    }

    pub(super) async fn click(&self, css: &str) {
        // What has just been refreshed may be gone when it is clicked: look again.
        let clicked = eventually(PATIENCE, async || self.find(css).await.click().await.ok()).await;
        assert!(clicked.is_some(), "{css} could not be clicked");
    }

    pub(super) async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Types into whatever has the focus.
    pub(super) async fn press(&self, keys: &str) {
        self.driver.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// What a script returns. While one page makes room for another there is none that could run it: then again.
    pub(super) async fn run(&self, script: &str) -> Value {
        let mut last = String::new();
        let found = eventually(PATIENCE, async || match self.driver.execute(script, Vec::new()).await {
            Ok(found) => Some(found.json().clone()),
            Err(error) => {
                last = error.to_string();
                None
            }
        });
        found.await.unwrap_or_else(|| panic!("{script}: {last}"))
    }

    /// Waits until the page's own script has run.
    pub(super) async fn ready(&self) {
        self.expect("return document.readyState === 'complete' && document.getElementById('theme')?.hidden === false;")
            .await;
    }

    /// The text that is seen in an element; empty when there is none.
    pub(super) async fn text(&self, css: &str) -> String {
        // Drawings have no innerText.
        let script =
            format!("const e = document.querySelector({}); return e?.innerText ?? e?.textContent ?? '';", json!(css));
        self.run(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element's text holds another.
    pub(super) async fn expect_text(&self, css: &str, wanted: &str) {
        let found = eventually(PATIENCE, async || self.text(css).await.contains(wanted).then_some(())).await;
        assert!(found.is_some(), "{css} does not say `{wanted}`, but:\n{}", self.text(css).await);
    }

    /// Waits until a script returns true.
    pub(super) async fn expect(&self, script: &str) {
        let found = eventually(PATIENCE, async || (self.run(script).await == true).then_some(())).await;
        assert!(found.is_some(), "never true: {script}; the page says:\n{}", self.text("body").await);
    }

    /// Waits for a page by the beginning of its path.
    pub(super) async fn expect_path(&self, wanted: &str) {
        let found = eventually(PATIENCE, async || self.path().await.starts_with(wanted).then_some(())).await;
        assert!(found.is_some(), "the page is {}, not {wanted}", self.path().await);
    }

    pub(super) async fn close(self) {
        self.driver.quit().await.unwrap();
    }
}
