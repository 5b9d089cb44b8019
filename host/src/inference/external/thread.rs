//! The way to an embedded model on a thread of its own: large models, and those on a GPU, must not
//! hold up the rows of a worker.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use tokio::sync::oneshot;

use super::ThreadConfig;
use super::rows::Request;
use super::transport::{CallFailure, Transport};
use crate::inference::http::{ErrorClass, Outputs, Reply, Verdict};
use crate::inference::{Model, Session};

pub(super) struct Thread {
    /// Dropped first: its end ends the thread.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    provider: String,
}

/// A request on its way to the thread. As many as the operator's capacity are on the way at most.
struct Job {
    values: Vec<f32>,
    rows: usize,
    reply: oneshot::Sender<Result<Reply, String>>,
}

impl Thread {
    pub(super) fn open(model: &Arc<Model>, config: &ThreadConfig) -> Result<Self, String> {
        let (jobs, queue) = unbounded::<Job>();
        let (model, config) = (Arc::clone(model), config.clone());
        let (opened, is_open) = std::sync::mpsc::channel();
        let body = move || {
            let mut session = match Session::open_on(&model, &config) {
                Ok((session, provider)) => {
                    drop(opened.send(Ok(provider)));
                    session
                }
                Err(error) => return drop(opened.send(Err(error.to_string()))),
            };
            for Job { values, rows, reply } in queue {
                if reply.is_closed() {
                    // Nobody waits for it any more.
                    continue;
                }
                let mut predictions = Vec::with_capacity(rows * model.outputs());
                let result = session.predict(&values, rows, &mut predictions);
                let outputs = Outputs::Numbers { values: predictions, width: model.outputs() };
                let version = Some(model.version().into());
                let _ =
                    reply.send(result.map(|()| Reply { outputs, model_version: version }).map_err(|e| e.to_string()));
            }
        };
        let thread = std::thread::Builder::new().name("model".into()).spawn(body).map_err(|e| e.to_string())?;
        let mut this = Self { jobs: Some(jobs), thread: Some(thread), provider: String::new() };
        this.provider = is_open.recv().map_err(|_| "the model's thread ended before it began".to_owned())??;
        Ok(this)
    }
}

impl Thread {
    /// What really runs the model.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }
}

impl Transport for Thread {
    async fn call(&self, _: usize, request: &Request, within: Duration) -> Result<Reply, CallFailure> {
        let failed = |reason: String| CallFailure::of(ErrorClass::Model, Verdict::Permanent, reason);
        let (reply, answer) = oneshot::channel();
        let job = Job { values: request.values.clone(), rows: request.rows, reply };
        let gone = || failed("the model's thread has ended; please report this as a bug".into());
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        let answer = tokio::time::timeout(within, answer).await.map_err(|_| CallFailure::late(within))?;
        answer.map_err(|_| gone())?.map_err(failed)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it was reported by its hook.
            let _ = thread.join();
        }
    }
}
