//! Turns the bytes of a config into its plan in parts, each of which takes a fraction of a millisecond, so that a worker
//! can serve requests in between.
//!
//! One segment or flag is one part, and so is reading a config in protobuf. Never looks at a clock.

use super::{Compiled, Plan, compile, fingerprint};
use crate::config::Config;
use crate::config::parts::{Json, Read, Tree};
use crate::problem::Problems;

/// So many flags or segments of a config that is not needed any more are freed in one part.
const FREED: usize = 64;

/// The work on one config.
#[derive(Debug)]
pub struct Parts {
    stage: Stage,
    problems: Problems,
    config: Config,
    plan: Option<Plan>,
}

#[derive(Debug)]
enum Stage {
    Json(Json),
    Tree(Tree),
    Compile(Box<compile::Parts>),
    Seal(fingerprint::Parts),
    /// Only the memory of the config is left to be freed.
    Free,
}

impl Parts {
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let stage = Stage::Json(Json::new(bytes));
        Self { stage, problems: Problems::default(), config: Config::default(), plan: None }
    }

    /// Does the next part. Returns the plan and the problems, once, when all is done.
    pub fn step(&mut self) -> Option<(Compiled, Problems)> {
        let Self { config, problems, .. } = self;
        match &mut self.stage {
            Stage::Json(json) => {
                let read = json.step();
                if let Read::More = read {
                    return None;
                }
                if let Read::Whole(root) = read {
                    if Config::fits(json.bytes(), problems) {
                        self.stage = Stage::Tree(Tree::new(root));
                        return None;
                    }
                } else {
                    *config = Config::from_bytes(json.bytes(), problems);
                }
                self.stage = Stage::Compile(Box::default());
            }
            Stage::Tree(tree) => {
                *config = tree.step(problems)?;
                self.stage = Stage::Compile(Box::default());
            }
            Stage::Compile(parts) => {
                self.plan = Some(parts.step(config, problems)?);
                let good = problems.errors().is_empty();
                self.stage = if good { Stage::Seal(fingerprint::Parts::new(config)) } else { Stage::Free };
            }
            Stage::Seal(parts) => {
                if self.plan.as_mut().is_none_or(|plan| parts.step(config, plan)) {
                    self.stage = Stage::Free;
                }
            }
            Stage::Free => {
                if config.flags.is_empty() && config.segments.is_empty() {
                    let plan = self.plan.take()?;
                    let problems = core::mem::take(problems);
                    let good = problems.errors().is_empty();
                    let inert = |plan: Plan| Compiled::Broken(Plan::inert(plan.owned));
                    return Some((if good { Compiled::Ready(plan) } else { inert(plan) }, problems));
                }
                config.flags.truncate(config.flags.len().saturating_sub(FREED));
                config.segments.truncate(config.segments.len().saturating_sub(FREED));
                config.standing.truncate(config.standing.len().saturating_sub(FREED));
            }
        }
        None
    }
}
