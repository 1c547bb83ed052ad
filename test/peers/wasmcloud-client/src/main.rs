//! Drives the published client library of wasmCloud's secrets, `wasmcloud-secrets-client`, for interop tests, crash tests and
//! benchmarks: one JSON object a line on standard input, answers as they come on standard output, told apart by `id`.
//!
//!     wasmcloud-client URL [CREDS]
//!
//!     {"id":1,"op":"get","prefix":"wasmcloud.secrets","backend":"nats-kv","key":"k","entity_jwt":"…","host_jwt":"…"}
//!         (and field, version, application, policy)
//!         → {"id":1,"secret":{"version":"1","string":"…"}} or, for bytes, {"…","binary":"<base64>"},
//!           or {"id":1,"error":{"kind":"server","text":"…"}}, as the library says it
//!     {"id":2,"op":"bench","count":1000,"seconds":5,"in_flight":32,"keys":16, … as get}   → {"id":2,"report":{…}}
//!     {"id":3,"op":"load","in_flight":16,"expect":"value", … as get}
//!         gets over and over, and again whatever was not answered, until
//!     {"id":4,"op":"stop"}                                          → {"id":3,"report":{…}}
//!     {"id":5,"op":"forget"}   asks for the backend's transit key again before the next get   → {"id":5}
//!     {"id":6,"op":"manifest","text":"…"}  what wadm makes of a manifest → {"id":6,"failures":["…"],"secrets":[{…}]}
//!
//! As a host does, it asks for a backend's transit key once, and seals each request with a key made for it alone.

mod manifest;
mod measure;
mod request;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use request::{Get, Hosts};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

#[derive(Deserialize)]
struct Line {
    id: u64,
    op: String,
    #[serde(flatten)]
    rest: HashMap<String, serde_json::Value>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("name the URL of a NATS server")?;
    // A host waits longer (10 s); what was lost is to be asked for again soon.
    let options = async_nats::ConnectOptions::new().request_timeout(Some(Duration::from_secs(2)));
    let options = match args.next() {
        Some(creds) => options.credentials_file(creds).await?,
        None => options,
    };
    let hosts = Arc::new(Hosts::new(options.connect(url).await?));

    let (answers, mut written) = mpsc::unbounded_channel::<serde_json::Value>();
    let writer = tokio::spawn(async move {
        let mut out = tokio::io::stdout();
        while let Some(answer) = written.recv().await {
            out.write_all(format!("{answer}\n").as_bytes()).await?;
            out.flush().await?;
        }
        Ok::<(), std::io::Error>(())
    });

    let stopped = Arc::new(AtomicBool::new(false));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Line { id, op, rest } = serde_json::from_str(&line)?;
        let rest = serde_json::Value::Object(rest.into_iter().collect());
        match op.as_str() {
            "stop" => stopped.store(true, Ordering::SeqCst),
            "forget" => {
                hosts.forget().await;
                answers.send(json!({ "id": id }))?;
            }
            "manifest" => {
                let text = rest["text"].as_str().unwrap_or_default();
                let mut answer = manifest::read(text).await;
                answer["id"] = json!(id);
                answers.send(answer)?;
            }
            "get" | "bench" | "load" => {
                let get: Get = serde_json::from_value(rest)?;
                if op == "load" {
                    stopped.store(false, Ordering::SeqCst);
                }
                let (answers, hosts, stopped) = (answers.clone(), hosts.clone(), stopped.clone());
                tokio::spawn(async move {
                    let mut answer = match op.as_str() {
                        "get" => request::answer(&hosts, &get).await,
                        "bench" => json!({ "report": measure::bench(&hosts, &get).await }),
                        _ => json!({ "report": measure::load(&hosts, &get, &stopped).await }),
                    };
                    answer["id"] = json!(id);
                    let _ = answers.send(answer);
                });
            }
            other => return Err(format!("no such op: {other}").into()),
        }
    }
    drop(answers);
    Ok(writer.await??)
}
