//! Performing effects, each safe to repeat.

use crate::{Driver, DriverError, Ports, TRIES_MAX};
use cauce_engine::command::{ExecutionEnd, Observed};
use cauce_engine::{Command, Effect};
use cauce_model::{Json, RunKey};
use cauce_ports::{Answer, Compute, Notifier, Services, Started, StateMachineError, StateMachines};
use futures_util::future::join_all;

impl<P: Ports> Driver<P> {
    pub(crate) async fn effect(&self, effect: &Effect) -> Result<(), DriverError> {
        match effect {
            Effect::Answer { token, result } => self.answer(token, Answer::Success(result.clone())).await,
            Effect::Refuse { token, error, cause } => {
                let answer = Answer::Failure { error: (*error).to_owned(), cause: cause.clone() };
                self.answer(token, answer).await
            }
            Effect::Command(command) => self.follow(command).await,
            Effect::Deliver { key, notice } => {
                match self.services().notifier().deliver(notice).await {
                    Ok(()) => {
                        let gone = Command::Delivered { key: key.clone(), notice: notice.id.clone() };
                        self.follow(&gone).await
                    }
                    Err(error) => {
                        // It stays in its outbox, where the sweep finds it. A refusal for good is
                        // kept too: somebody has to mend the channel.
                        self.ports().warn(&error.to_string());
                        Ok(())
                    }
                }
            }
            Effect::Start { machine, name, input } => {
                match self.patient(|| self.services().machines().start(machine, name, input)).await? {
                    Started::Started | Started::AlreadyRunning => Ok(()),
                    Started::NameTaken => self.check_taken(machine, name, input).await,
                }
            }
            Effect::Stop { machine, name, cause } => {
                let error = cauce_model::names::DENIED;
                self.patient(|| self.services().machines().stop(machine, name, error, cause)).await
            }
            Effect::StopProgram { id, reason } => Ok(self.services().compute().stop(id, reason).await?),
            Effect::Each { commands, then } => {
                // One that cannot be done stops no other.
                let outcomes = join_all(commands.iter().map(|command| self.follow(command))).await;
                outcomes.into_iter().collect::<Result<(), DriverError>>()?;
                self.follow(then).await
            }
            Effect::Post(event) => {
                self.ports().post(event).await;
                Ok(())
            }
            Effect::At { at, command } => {
                self.ports().at(*at, (**command).clone());
                Ok(())
            }
        }
    }

    /// A name that was used before: by this very run when the first start's reply was lost and the
    /// execution has ended since; by a stranger otherwise. Then this generation can never start, and the
    /// run says so where people look.
    async fn check_taken(&self, machine: &str, name: &str, input: &Json) -> Result<(), DriverError> {
        let described = self.patient(|| self.services().machines().describe(machine, name)).await?;
        // Described with a delay on AWS: of one that is not found yet the sweep finds out.
        if described.is_none_or(|described| described.input == *input) {
            return Ok(());
        }
        let cause = format!("the execution name '{name}' was taken by another execution");
        self.ports().warn(&format!("{machine}: {cause}"));
        let (Some(run_key), Some(generation)) = (input["run_key"].as_str(), input["generation"].as_u64())
        else {
            return Ok(());
        };
        let observed = Observed::Run {
            run_key: RunKey::from_text(run_key),
            generation: u32::try_from(generation).unwrap_or(u32::MAX),
            execution: name.to_owned(),
            end: ExecutionEnd::Failed { error: "ExecutionAlreadyExists".to_owned(), cause },
        };
        self.follow(&Command::Observed(Box::new(observed))).await
    }

    async fn answer(&self, token: &str, answer: Answer) -> Result<(), DriverError> {
        // A closed token is an answer that somebody gave before: final, and no failure.
        self.patient(|| self.services().machines().answer(token, &answer)).await.map(|_| ())
    }

    async fn patient<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, DriverError>
    where
        F: Future<Output = Result<T, StateMachineError>>,
    {
        let mut left = TRIES_MAX;
        loop {
            left -= 1;
            match call().await {
                Err(error) if error.retryable() && left > 0 => {}
                outcome => return Ok(outcome?),
            }
        }
    }
}
