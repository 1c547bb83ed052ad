//! Many requests at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{json, Value};
use wasmcloud_secrets_client::SecretClientError;

use crate::request::{is_unanswered, kind_of, Get, Hosts};

/// Gets with `in_flight` at a time, `count` of them and for at least as many `seconds`, none of them made again.
pub async fn bench(hosts: &Hosts, get: &Get) -> Value {
    let taken = AtomicUsize::new(0);
    let start = Instant::now();
    let workers = (0..get.in_flight).map(|_| async {
        let mut seen = Seen::default();
        loop {
            let number = taken.fetch_add(1, Ordering::Relaxed);
            if number >= get.count && start.elapsed().as_secs_f64() >= get.seconds {
                return seen;
            }
            let began = Instant::now();
            match hosts.get(&get.spread(number)).await {
                Ok(_) => seen.latencies.push(began.elapsed()),
                Err(error) => seen.fail(&error),
            }
        }
    });
    let seen = Seen::merged(join_all(workers).await);
    seen.report(start.elapsed())
}

/// Gets with `in_flight` at a time until `stopped`. One that is not answered is made again until it is, so that none is lost
/// for its asker; how often is told.
pub async fn load(hosts: &Hosts, get: &Get, stopped: &AtomicBool) -> Value {
    let start = Instant::now();
    let workers = (0..get.in_flight).map(|_| async {
        let mut seen = Seen::default();
        while !stopped.load(Ordering::SeqCst) {
            let began = Instant::now();
            loop {
                match hosts.get(get).await {
                    Ok(secret) if get.expect.is_none() || secret.string_secret == get.expect => {
                        seen.latencies.push(began.elapsed())
                    }
                    Ok(_) => seen.count("wrong"),
                    Err(error) if is_unanswered(&error) => {
                        seen.count(kind_of(&error));
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                    Err(error) => seen.fail(&error),
                }
                break;
            }
        }
        seen
    });
    let seen = Seen::merged(join_all(workers).await);
    seen.report(start.elapsed())
}

#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    others: HashMap<&'static str, usize>,
    first_error: Option<String>,
}

impl Seen {
    fn count(&mut self, kind: &'static str) {
        *self.others.entry(kind).or_default() += 1;
    }

    fn fail(&mut self, error: &SecretClientError) {
        self.first_error.get_or_insert(error.to_string());
        self.count(kind_of(error));
    }

    fn merged(all: Vec<Seen>) -> Seen {
        let mut merged = Seen::default();
        for one in all {
            merged.latencies.extend(one.latencies);
            merged.first_error = merged.first_error.or(one.first_error);
            for (kind, count) in one.others {
                *merged.others.entry(kind).or_default() += count;
            }
        }
        merged.latencies.sort();
        merged
    }

    fn report(&self, elapsed: Duration) -> Value {
        let at = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            let found = self.latencies.get(index).or(self.latencies.last());
            found.map(|latency| latency.as_secs_f64() * 1000.0)
        };
        json!({
            "answered": self.latencies.len(),
            "others": self.others,
            "first_error": self.first_error,
            "seconds": elapsed.as_secs_f64(),
            "rate": self.latencies.len() as f64 / elapsed.as_secs_f64(),
            "median_ms": at(0.5),
            "p99_ms": at(0.99),
            "max_ms": at(1.0),
        })
    }
}
