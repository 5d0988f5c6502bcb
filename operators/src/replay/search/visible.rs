//! Makes what is indexed visible to searches: by a refresh, or by waiting for those that the indices make themselves
//! where the user may not ask for one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::Method;
use isobar_topology::OperatorError;
use isobar_topology::spec::units;
use serde_json::json;

use super::{LENIENT, Search};

/// On top of the interval of an index, for the refresh itself.
const REFRESHING: Duration = Duration::from_millis(500);
/// A longer interval is not waited for.
const INTERVAL_MAX: Duration = Duration::from_secs(60);

impl Search {
    /// Makes everything that is indexed visible to searches, which look into all that the pattern finds.
    ///
    /// Without the privilege `maintenance` it waits as long as the indices take to do that by themselves, and fails
    /// where that is more than a minute or never.
    pub async fn make_visible(&self) -> Result<(), OperatorError> {
        if self.may_refresh.load(Ordering::Relaxed) && self.has_refreshed().await? {
            return Ok(());
        }
        let interval = self.refresh_interval().await?;
        if self.may_refresh.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                bolt = self.bolt,
                indices = self.pattern,
                seconds = interval.as_secs_f32(),
                "The user may not refresh (no `maintenance`): waiting until the indices have, each time"
            );
        }
        tokio::time::sleep(interval + REFRESHING).await;
        Ok(())
    }

    /// Refreshes; returns whether that was done. Of a pattern, indices that the user may not refresh are left out
    /// without a word.
    async fn has_refreshed(&self) -> Result<bool, OperatorError> {
        let path = format!("{}/_refresh?{LENIENT}", self.pattern);
        let Some(answer) = self.ask.permitted(Method::POST, &path).await? else {
            return Ok(false);
        };
        let Some(refreshed) = answer["_shards"]["total"].as_u64() else {
            return Ok(true);
        };
        let path = format!(
            "{}/_search?{LENIENT}&filter_path=_shards.total",
            self.pattern
        );
        let body = json!({"size": 0, "track_total_hits": false});
        let found = self.ask.any(Method::POST, &path, Some(&body)).await?;
        // The one counts copies of shards, the other shards.
        Ok(refreshed >= found["_shards"]["total"].as_u64().unwrap_or(0))
    }

    /// The longest time that one of the indices takes until it shows what was indexed.
    async fn refresh_interval(&self) -> Result<Duration, OperatorError> {
        let path = format!(
            "{}/_settings/index.refresh_interval?{LENIENT}&include_defaults=true&flat_settings=true",
            self.pattern
        );
        let answer = self.ask.any(Method::GET, &path, None).await?;
        let mut longest = Duration::ZERO;
        for (index, all) in answer.as_object().into_iter().flatten() {
            let of = |kind: &str| all[kind]["index.refresh_interval"].as_str();
            let text = of("settings")
                .or_else(|| of("defaults"))
                .unwrap_or_default();
            let interval = text.parse::<units::Duration>().map(units::Duration::get);
            match interval {
                Ok(interval) if interval <= INTERVAL_MAX => longest = longest.max(interval),
                _ => {
                    return Err(OperatorError::user(format!(
                        "what is indexed by now in {index} cannot be seen: the user may not refresh it, and it does \
                         so itself every {text:?} (`index.refresh_interval`); give the user the privilege \
                         `maintenance` on it"
                    )));
                }
            }
        }
        Ok(longest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use isobar_topology::clock;
    use serde_json::Value;

    use super::super::tests::answered_by_path;
    use super::*;

    /// Makes what a host with such answers has visible; returns how long that took, in s.
    async fn after(refresh: (u16, Value), interval: &str) -> Result<f32, OperatorError> {
        let interval = interval.to_owned();
        let search = answered_by_path(move |path| match path {
            path if path.contains("_refresh") => refresh.clone(),
            path if path.contains("_search") => (200, json!({"_shards": {"total": 3}})),
            path => {
                assert!(path.contains("/_settings/index.refresh_interval"), "{path}");
                let own = json!({"settings": {"index.refresh_interval": interval}, "defaults": {}});
                let other = json!({"settings": {}, "defaults": {"index.refresh_interval": "1s"}});
                (200, json!({"logs-1": own, "logs-2": other}))
            }
        });
        let began = clock::now();
        search.make_visible().await?;
        Ok((clock::now() - began).as_secs_f32())
    }

    #[tokio::test]
    async fn where_the_user_may_not_refresh_the_indices_own_refresh_is_waited_for() {
        let refreshed = |total: u64| (200, json!({"_shards": {"total": total, "failed": 0}}));
        let at_once = after(refreshed(6), "100ms").await.expect("refreshed");
        assert!(at_once < 1.0, "{at_once}");
        let denied = (403, json!({"error": "security_exception"}));
        for refresh in [denied.clone(), refreshed(0)] {
            let waited = after(refresh, "100ms").await.expect("waited");
            assert!(waited >= 1.5, "the longer one of both: {waited}");
        }
        for interval in ["-1", "5m"] {
            let refused = after(denied.clone(), interval).await.expect_err("too long");
            let text = refused.to_string();
            assert!(text.contains("the privilege `maintenance`"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_refresh_that_fails_otherwise_is_a_failure() {
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let search = answered_by_path(move |_| {
            *count.lock().expect("nobody panics") += 1;
            (503, json!({"error": "unavailable"}))
        });
        assert!(search.make_visible().await.is_err());
        assert_eq!(*asked.lock().expect("nobody panics"), 1);
    }
}
