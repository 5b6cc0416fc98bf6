//! Reads a cluster again and again beside other work: turns questions into answers in a thread of its own.
//!
//! One connection is kept, and another one is made once an answer was none: credentials may be others by then, and the
//! API server, too. Whoever asks waits as long as they say, and no longer. Never changes anything.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::connect::{Access, Cluster};
use super::object::Held;
use super::place::Place;
use super::pods::Selected;
use super::trouble::{Cause, Trouble};

/// What is to be read.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub object: Option<Place>,
    /// Of which Pods the ready ones are counted.
    pub ready: Vec<Selected>,
}

/// What was read, of what was asked for.
#[derive(Debug, Default)]
pub struct Answer {
    pub object: Option<Result<Held, Trouble>>,
    pub ready: BTreeMap<Selected, Result<u32, Trouble>>,
}

/// Where questions go to.
#[derive(Debug)]
pub struct Reader {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
    /// Whether an answer is still to come.
    waits: bool,
}

impl Reader {
    /// # Errors
    /// If no connection can be made with what is given; nobody is asked yet.
    pub fn new(access: Access) -> Result<Self, Trouble> {
        let mut asked = Some(Cluster::connect(&access)?);
        let (questions, todo) = channel::<Question>();
        let (done, answers) = channel();
        let read = move || {
            for question in todo {
                let answer = answer(&access, &mut asked, question);
                // Nobody waits for it any more where this fails.
                if done.send(answer).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("cluster".to_owned()).spawn(read);
        thread.map_err(|error: io::Error| Trouble::other(format!("no thread can be started: {error}")))?;
        Ok(Self { questions, answers, waits: false })
    }

    /// Asks, unless the question before is still without an answer; says what has come within this time, which may be
    /// the answer to the question before.
    pub fn ask(&mut self, question: Question, wait: Duration) -> Option<Answer> {
        let before = self.answers.try_recv().ok();
        self.waits &= before.is_none();
        if !self.waits {
            self.waits = self.questions.send(question).is_ok();
        }
        let now = self.answers.recv_timeout(wait).ok();
        self.waits &= now.is_none();
        now.or(before)
    }
}

fn answer(access: &Access, kept: &mut Option<Cluster>, question: Question) -> Answer {
    let Question { object, ready } = question;
    let cluster = match kept.take().map_or_else(|| Cluster::connect(access), Ok) {
        Ok(cluster) => cluster,
        Err(trouble) => {
            let ready = ready.into_iter().map(|selected| (selected, Err(trouble.clone()))).collect();
            return Answer { object: object.map(|_| Err(trouble)), ready };
        }
    };
    let mut answer = Answer { object: object.map(|place| cluster.read(&place)), ready: BTreeMap::new() };
    let mut failed = answer.object.as_ref().and_then(|read| read.as_ref().err().cloned());
    for selected in ready {
        // Who is away for one question is so for the next, and each would wait.
        let counted = match &failed {
            Some(trouble) if trouble.cause == Cause::Away => Err(trouble.clone()),
            _ => cluster.ready(&selected),
        };
        if let Err(trouble) = &counted {
            failed = Some(trouble.clone());
        }
        answer.ready.insert(selected, counted);
    }
    *kept = Some(cluster).filter(|_| failed.is_none());
    answer
}
