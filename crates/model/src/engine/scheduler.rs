//! The engine's thread: takes commands, evaluates all sequences that can go on in shared steps, and hands their logits on.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::EngineError;
use super::Shared;
use super::job::{Event, Job};
use super::request::{
    BenchmarkRequest, Command, FinishReason, GenerateRequest, Outcome, PerplexityRequest, Piece,
};
use super::sequence::{Consumer, Generation, Perplexity, Sample, Sequence};
use dyadic_kernels::elementary;
use dyadic_kernels::softmax::{Source, serial};

use crate::ModelError;
use crate::constraint::{Constraint, JsonSchemaConstraint};
use crate::decoder::{BatchEntry, LogitRows, Scratch};
use crate::kv_cache::KvCache;
use crate::sampler::{Sampler, StopMatcher};

/// Prompt tokens of one step: enough to use each weight many times, few enough that other sequences soon get their turn.
const PROMPT_TOKENS: usize = 128;
/// The same while other sequences decode, whose tokens wait for the step.
const PROMPT_TOKENS_WHILE_DECODING: usize = 32;
/// Rows of logits of one step where all are wanted: bounds their buffer (6 MB at 49,152 tokens).
const SCORED_TOKENS: usize = 32;
/// Sequences of one step.
const BATCH_SEQUENCES: usize = 64;

/// The cache of a session between its generations.
struct Session {
    cache: KvCache,
    tokens: Vec<u32>,
}

/// Everything that the engine's thread owns.
pub(super) struct Scheduler {
    shared: Arc<Shared>,
    scratch: Scratch,
    sequences: Vec<Sequence>,
    generations: HashMap<u32, Generation>,
    /// `None` while a generation uses the session.
    sessions: HashMap<u32, Option<Session>>,
}

impl Scheduler {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            scratch: Scratch::new(&shared.decoder),
            shared,
            sequences: Vec::new(),
            generations: HashMap::new(),
            sessions: HashMap::new(),
        }
    }

    /// Works until the mailbox is closed.
    pub(super) fn run(mut self) {
        let mailbox = Arc::clone(&self.shared.mailbox);
        loop {
            let idle = self.sequences.iter().all(Sequence::is_waiting);
            let Some(commands) = mailbox.take(idle) else { break };
            let turn = catch_unwind(AssertUnwindSafe(|| {
                for command in commands {
                    self.execute(command);
                }
                self.drop_cancelled();
                self.step();
            }));
            if let Err(panic) = turn {
                self.fail_all(&EngineError::from_panic(panic.as_ref()));
            }
        }
        self.fail_all(&EngineError::Disposed);
        for command in mailbox.drain() {
            command.refuse(&EngineError::Disposed);
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Generate(job, request) => {
                if let Err(error) = self.start_generation(&job, *request) {
                    job.send(Event::Failed(error));
                }
            }
            Command::Logits(job, ids) => match self.check_prompt(&ids, 0) {
                Ok(()) => self.add_sequence(job, ids, Consumer::Logits),
                Err(error) => job.send(Event::Failed(error)),
            },
            Command::Perplexity(job, request) => match self.perplexity(request) {
                Ok(perplexity) => {
                    let tokens = perplexity.chunk_tokens();
                    self.add_sequence(job, tokens, Consumer::Perplexity(Box::new(perplexity)));
                }
                Err(error) => job.send(Event::Failed(error)),
            },
            Command::Benchmark(job, request) => {
                let event = match self.benchmark(&job, request) {
                    Ok(outcome) => Event::Done(outcome),
                    Err(error) => Event::Failed(error),
                };
                job.send(event);
            }
            Command::Masked { job, sample, mut logits } => {
                let index = self.sequences.iter().position(|sequence| {
                    sequence.job.id() == job.id()
                        && matches!(&sequence.consumer, Consumer::Sample(waiting)
                            if waiting.index == sample && waiting.awaits_mask)
                });
                if let Some(index) = index {
                    if let Consumer::Sample(waiting) = &mut self.sequences[index].consumer {
                        waiting.awaits_mask = false;
                    }
                    let mut pieces = Vec::new();
                    self.choose(index, &mut logits, &mut pieces);
                    send_pieces(&job, pieces);
                    self.sweep();
                }
            }
            Command::OpenSession(id) => {
                let session = Session { cache: self.new_cache(), tokens: Vec::new() };
                self.sessions.insert(id, Some(session));
            }
            Command::CloseSession(id) => {
                self.sessions.remove(&id);
            }
        }
    }

    fn new_cache(&self) -> KvCache {
        KvCache::new(self.shared.decoder.kv_shape(self.shared.kv_type))
    }

    fn add_sequence(&mut self, job: Arc<Job>, tokens: Vec<u32>, consumer: Consumer) {
        let cache = self.new_cache();
        self.sequences.push(Sequence { job, cache, tokens, consumer });
    }

    /// Whether a prompt, and `more` tokens behind it, can be evaluated.
    fn check_prompt(&self, ids: &[u32], more: usize) -> Result<(), ModelError> {
        let (limit, vocabulary_size) =
            (self.shared.context_length, self.shared.decoder.vocabulary_size());
        if ids.is_empty() {
            return Err(EngineError::EmptyPrompt.into());
        }
        if let Some((index, &id)) =
            ids.iter().enumerate().find(|&(_, &id)| id as usize >= vocabulary_size)
        {
            return Err(EngineError::TokenRange { id, index, vocabulary_size }.into());
        }
        let needed = ids.len() + more;
        if needed > limit {
            return Err(EngineError::ContextLength { needed, limit }.into());
        }
        Ok(())
    }

    fn start_generation(
        &mut self,
        job: &Arc<Job>,
        request: GenerateRequest,
    ) -> Result<(), ModelError> {
        self.check_prompt(&request.prompt, 0)?;
        if request.samples == 0 {
            return Err(EngineError::Option {
                option: "samples",
                value: "0".to_owned(),
                expected: "at least 1",
            }
            .into());
        }
        let unstarted = self.samples(&request)?;
        let (cache, cached) = self.session_cache(request.session, &request.prompt)?;
        self.generations.insert(
            job.id(),
            Generation {
                job: Arc::clone(job),
                session: request.session,
                max_tokens: request.max_tokens,
                mask_hook: request.mask_hook,
                finished: (0..request.samples).map(|_| None).collect(),
                unstarted,
                usage: super::request::Usage {
                    prompt_tokens: request.prompt.len(),
                    cached_prompt_tokens: cached,
                    completion_tokens: 0,
                },
                started: Instant::now(),
                first_logits: None,
            },
        );
        let job = Arc::clone(job);
        self.sequences.push(Sequence {
            job,
            cache,
            tokens: request.prompt,
            consumer: Consumer::Prompt,
        });
        Ok(())
    }

    /// The samples of a request, with their random streams and constraints, ready to choose a first token.
    fn samples(&self, request: &GenerateRequest) -> Result<Vec<Sample>, ModelError> {
        let (tokenizer, vocabulary_size) =
            (&self.shared.tokenizer, self.shared.decoder.vocabulary_size());
        let mut options = request.sampling.clone();
        if request.ignore_end_of_text {
            let ends = tokenizer.end_of_generation_ids();
            options.logit_bias.extend(ends.iter().map(|&id| (id, f32::NEG_INFINITY)));
        }
        let constraint = match &request.schema {
            Some(schema) => {
                Some(JsonSchemaConstraint::new(schema, Arc::clone(self.shared.token_trie()))?)
            }
            None => None,
        };
        let stop = StopMatcher::new(&request.stop)?;
        let mut samples = Vec::with_capacity(request.samples.min(BATCH_SEQUENCES));
        for index in 0..request.samples {
            let mut sampler = Sampler::with_stream(options.clone(), vocabulary_size, index as u64)?;
            for &id in &request.prompt {
                sampler.accept(id);
            }
            let constraint =
                constraint.clone().map(|constraint| Box::new(constraint) as Box<dyn Constraint>);
            samples.push(Sample::new(index, sampler, constraint, stop.clone()));
        }
        Ok(samples)
    }

    /// Takes a session's cache, cut to what it shares with `prompt`; and how many tokens that is.
    fn session_cache(
        &mut self,
        session: Option<u32>,
        prompt: &[u32],
    ) -> Result<(KvCache, usize), ModelError> {
        let Some(id) = session else { return Ok((self.new_cache(), 0)) };
        let slot = self.sessions.get_mut(&id).ok_or(EngineError::UnknownSession(id))?;
        let Session { mut cache, tokens } = slot.take().ok_or(EngineError::SessionBusy(id))?;
        let shared = tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // At least one token must be evaluated to have logits.
        let cached = shared.min(prompt.len() - 1);
        cache.truncate(cached);
        Ok((cache, cached))
    }

    fn perplexity(&self, request: PerplexityRequest) -> Result<Perplexity, ModelError> {
        let limit = self.shared.context_length;
        if request.context_length > limit {
            return Err(EngineError::ContextLength { needed: request.context_length, limit }.into());
        }
        let vocabulary_size = self.shared.decoder.vocabulary_size();
        if let Some((index, &id)) =
            request.ids.iter().enumerate().find(|&(_, &id)| id as usize >= vocabulary_size)
        {
            return Err(EngineError::TokenRange { id, index, vocabulary_size }.into());
        }
        Ok(Perplexity::new(request.ids, request.context_length, request.chunks)?)
    }

    /// Ends the jobs that were cancelled.
    fn drop_cancelled(&mut self) {
        let mut cancelled: Vec<Arc<Job>> = Vec::new();
        for sequence in &self.sequences {
            if sequence.job.is_cancelled()
                && cancelled.iter().all(|job| job.id() != sequence.job.id())
            {
                cancelled.push(Arc::clone(&sequence.job));
            }
        }
        for job in cancelled {
            self.fail(&job, EngineError::Aborted.into());
        }
        self.sweep();
    }

    /// Evaluates the next tokens of all sequences that can go on, and hands on their logits.
    fn step(&mut self) {
        let plan = self.plan();
        if plan.is_empty() {
            return;
        }
        let vocabulary_size = self.shared.decoder.vocabulary_size();
        let shared = Arc::clone(&self.shared);
        let evaluated = {
            let mut batch = Vec::with_capacity(plan.len());
            let mut planned = plan.iter().peekable();
            for (index, sequence) in self.sequences.iter_mut().enumerate() {
                let Some(&&(_, count)) = planned.peek().filter(|&&&(next, _)| next == index) else {
                    continue;
                };
                planned.next();
                let start = sequence.cache.len();
                let logits = match sequence.consumer {
                    Consumer::Perplexity(_) => LogitRows::All,
                    _ if start + count == sequence.tokens.len() => LogitRows::Last,
                    _ => LogitRows::None,
                };
                batch.push(BatchEntry {
                    tokens: &sequence.tokens[start..start + count],
                    cache: &mut sequence.cache,
                    logits,
                });
            }
            shared.decoder.forward(
                &mut self.scratch,
                &mut batch,
                shared.threads,
                shared.mailbox.interrupted(),
            )
        };
        if !evaluated {
            return;
        }
        let mut logits = self.scratch.take_logits();
        let mut rows = logits.chunks_exact_mut(vocabulary_size);
        for &(index, count) in &plan {
            let sequence = &self.sequences[index];
            let rows_wanted = match sequence.consumer {
                Consumer::Perplexity(_) => count,
                _ if sequence.pending() == 0 => 1,
                _ => 0,
            };
            let rows: Vec<&mut [f32]> = rows.by_ref().take(rows_wanted).collect();
            if !rows.is_empty() {
                self.consume(index, rows, count);
            }
        }
        drop(rows);
        self.scratch.return_logits(logits);
        self.sweep();
    }

    /// Which sequences go on in the next step, in order, and by how many tokens.
    fn plan(&self) -> Vec<(usize, usize)> {
        let decoding = self.sequences.iter().any(|sequence| sequence.pending() == 1);
        let mut budget = if decoding { PROMPT_TOKENS_WHILE_DECODING } else { PROMPT_TOKENS };
        let mut plan = Vec::new();
        for (index, sequence) in self.sequences.iter().enumerate() {
            if sequence.is_waiting() || plan.len() == BATCH_SEQUENCES {
                continue;
            }
            let count = match (&sequence.consumer, sequence.pending()) {
                (_, 1) => 1,
                (Consumer::Perplexity(_), pending) => pending.min(SCORED_TOKENS).min(budget),
                (_, pending) => pending.min(budget),
            };
            if count > 0 {
                if count > 1 {
                    budget -= count;
                }
                plan.push((index, count));
            }
        }
        plan
    }

    /// Hands the logits of a step to the sequence that asked for them.
    fn consume(&mut self, index: usize, mut rows: Vec<&mut [f32]>, count: usize) {
        let job = Arc::clone(&self.sequences[index].job);
        match &mut self.sequences[index].consumer {
            Consumer::Logits => {
                let values = rows[0].to_vec();
                job.send(Event::Done(Outcome::Logits { length: values.len(), values }));
                self.retire(index);
            }
            Consumer::Perplexity(_) => self.score(index, &rows, count),
            Consumer::Prompt => self.start_samples(index, rows[0]),
            Consumer::Sample(_) => {
                let mut pieces = Vec::new();
                self.offer(index, rows[0], &mut pieces);
                send_pieces(&job, pieces);
            }
        }
        rows.clear();
    }

    /// Scores the tokens that `count` rows of logits predict, and goes on to the next chunk where this one is done.
    fn score(&mut self, index: usize, rows: &[&mut [f32]], count: usize) {
        let kernels = self.shared.kernels;
        let cache = self.new_cache();
        let sequence = &mut self.sequences[index];
        let Consumer::Perplexity(perplexity) = &mut sequence.consumer else { return };
        let end = sequence.cache.len();
        for (position, row) in (end - count..end).zip(rows) {
            perplexity.score(position, |target| {
                kernels.cross_entropy(Source::F32(row), target as usize, &serial)
            });
        }
        let fraction = perplexity.fraction(end);
        sequence.job.send(Event::Progress { stage: "perplexity", fraction });
        if end < sequence.tokens.len() {
            return;
        }
        if perplexity.next_chunk() {
            sequence.tokens = perplexity.chunk_tokens();
            sequence.cache = cache;
            return;
        }
        let (whole, second_half, tokens) = perplexity.means();
        sequence.job.send(Event::Done(Outcome::Perplexity {
            perplexity: elementary::exp(whole),
            perplexity_second_half: elementary::exp(second_half),
            tokens,
        }));
        self.retire(index);
    }

    /// Turns an evaluated prompt into its samples, all of which continue from the same cache.
    fn start_samples(&mut self, index: usize, logits: &[f32]) {
        let job = Arc::clone(&self.sequences[index].job);
        let Some(generation) = self.generations.get_mut(&job.id()) else {
            return self.retire(index);
        };
        generation.first_logits = Some(Instant::now());
        let mut samples = std::mem::take(&mut generation.unstarted).into_iter();
        let Some(first) = samples.next() else { return self.retire(index) };
        let mut started = vec![index];
        for sample in samples {
            let prompt = &self.sequences[index];
            let fork = Sequence {
                job: Arc::clone(&job),
                cache: prompt.cache.clone(),
                tokens: prompt.tokens.clone(),
                consumer: Consumer::Sample(Box::new(sample)),
            };
            started.push(self.sequences.len());
            self.sequences.push(fork);
        }
        self.sequences[index].consumer = Consumer::Sample(Box::new(first));
        let mut pieces = Vec::new();
        let mut row = vec![0.0; logits.len()];
        for index in started {
            row.copy_from_slice(logits);
            self.offer(index, &mut row, &mut pieces);
        }
        send_pieces(&job, pieces);
    }

    /// Constrains the logits of a sample and chooses its next token, or leaves that until the caller has masked them.
    fn offer(&mut self, index: usize, logits: &mut [f32], pieces: &mut Vec<Piece>) {
        let sequence = &mut self.sequences[index];
        let Consumer::Sample(sample) = &mut sequence.consumer else { return };
        if let Err(error) = sample.constrain(logits) {
            let job = Arc::clone(&sequence.job);
            return self.fail(&job, error);
        }
        let hooked =
            self.generations.get(&sequence.job.id()).is_some_and(|generation| generation.mask_hook);
        if hooked {
            sample.awaits_mask = true;
            sequence.job.request_mask(sample.index, sample.ids.clone(), logits.to_vec());
        } else {
            self.choose(index, logits, pieces);
        }
    }

    /// Chooses the next token of a sample.
    fn choose(&mut self, index: usize, logits: &mut [f32], pieces: &mut Vec<Piece>) {
        let limit = self.shared.context_length;
        let sequence = &mut self.sequences[index];
        let job = Arc::clone(&sequence.job);
        let (Consumer::Sample(sample), Some(generation)) =
            (&mut sequence.consumer, self.generations.get_mut(&job.id()))
        else {
            return;
        };
        match sample.choose(logits, &self.shared.tokenizer, generation.max_tokens) {
            Err(error) => self.fail(&job, error),
            Ok((piece, finish)) => {
                generation.usage.completion_tokens += 1;
                sequence.tokens.push(piece.id);
                let needed = sequence.tokens.len();
                pieces.push(piece);
                match finish {
                    Some(reason) => {
                        send_pieces(&job, std::mem::take(pieces));
                        self.finish_sample(index, reason);
                    }
                    None if needed > limit => {
                        send_pieces(&job, std::mem::take(pieces));
                        self.fail(&job, EngineError::ContextLength { needed, limit }.into());
                    }
                    None => {}
                }
            }
        }
    }

    fn finish_sample(&mut self, index: usize, reason: FinishReason) {
        let job = Arc::clone(&self.sequences[index].job);
        let consumer = std::mem::replace(&mut self.sequences[index].consumer, Consumer::Prompt);
        let (Consumer::Sample(sample), Some(generation)) =
            (consumer, self.generations.get_mut(&job.id()))
        else {
            return;
        };
        let slot = sample.index;
        generation.finished[slot] = Some(sample.finish(reason));
        let session = generation.session;
        if slot == 0 {
            self.return_session(session, index);
        }
        self.retire(index);
        let Some(generation) = self.generations.get(&job.id()) else { return };
        if generation.finished.iter().all(Option::is_some)
            && let Some(generation) = self.generations.remove(&job.id())
        {
            let timings = generation.timings(Instant::now());
            job.send(Event::Done(Outcome::Generated {
                samples: generation.finished.into_iter().flatten().collect(),
                usage: generation.usage,
                timings,
            }));
        }
    }

    /// Puts the cache of a sequence back into its session, where that is still open.
    fn return_session(&mut self, session: Option<u32>, index: usize) {
        if let Some(slot) = session.and_then(|id| self.sessions.get_mut(&id)) {
            let sequence = &self.sequences[index];
            let cache = sequence.cache.clone();
            let tokens = sequence.tokens[..cache.len()].to_vec();
            *slot = Some(Session { cache, tokens });
        }
    }

    /// Marks a sequence as done: [`Self::sweep`] removes it, so that indices stay valid meanwhile.
    fn retire(&mut self, index: usize) {
        let sequence = &mut self.sequences[index];
        sequence.cache.truncate(0);
        sequence.tokens.clear();
    }

    /// Removes the sequences that are done.
    fn sweep(&mut self) {
        self.sequences.retain(|sequence| !sequence.tokens.is_empty());
    }

    /// Ends a job with an error; its session keeps what was evaluated.
    fn fail(&mut self, job: &Arc<Job>, error: ModelError) {
        let session = self.generations.remove(&job.id()).and_then(|generation| generation.session);
        for index in 0..self.sequences.len() {
            let sequence = &self.sequences[index];
            if sequence.job.id() != job.id() || sequence.tokens.is_empty() {
                continue;
            }
            let first = match &sequence.consumer {
                Consumer::Sample(sample) => sample.index == 0,
                _ => true,
            };
            if first {
                self.return_session(session, index);
            }
            self.retire(index);
        }
        job.send(Event::Failed(error));
    }

    fn fail_all(&mut self, error: &EngineError) {
        let mut jobs: HashMap<u32, Arc<Job>> = HashMap::new();
        let sequences = self.sequences.drain(..).map(|sequence| sequence.job);
        let generations = self.generations.drain().map(|(_, generation)| generation.job);
        jobs.extend(sequences.chain(generations).map(|job| (job.id(), job)));
        // A session whose cache may be half-written starts afresh.
        let empty = self.new_cache();
        for session in self.sessions.values_mut().filter(|session| session.is_none()) {
            *session = Some(Session { cache: empty.clone(), tokens: Vec::new() });
        }
        for job in jobs.into_values() {
            job.send(Event::Failed(error.clone().into()));
        }
    }

    /// Measures speed, with nothing else running meanwhile.
    fn benchmark(
        &mut self,
        job: &Arc<Job>,
        request: BenchmarkRequest,
    ) -> Result<Outcome, ModelError> {
        let BenchmarkRequest { threads, prompt_tokens, decode_tokens, repetitions } = request;
        // Any tokens will do; these differ, as those of a text do.
        let vocabulary_size = self.shared.decoder.vocabulary_size();
        let token =
            |index: usize| u32::try_from((300 + 7 * index) % vocabulary_size).unwrap_or_default();
        let prompt: Vec<u32> = (0..prompt_tokens).map(token).collect();
        let (mut prompt_rates, mut decode_rates) = (Vec::new(), Vec::new());
        for repetition in 0..=repetitions {
            let mut cache = self.new_cache();
            let rate = self.time(job, &mut cache, &[&prompt], threads)?;
            cache.truncate(0);
            let tokens: Vec<u32> = (0..decode_tokens).map(token).collect();
            let steps: Vec<&[u32]> = tokens.chunks(1).collect();
            let decode_rate = self.time(job, &mut cache, &steps, threads)?;
            if repetition > 0 {
                prompt_rates.extend(rate);
                decode_rates.extend(decode_rate);
            }
            #[expect(clippy::cast_precision_loss, reason = "a progress display")]
            let fraction = (repetition + 1) as f32 / (repetitions + 1) as f32;
            job.send(Event::Progress { stage: "benchmark", fraction });
        }
        Ok(Outcome::Benchmark { threads, prompt: prompt_rates, decode: decode_rates })
    }

    /// Evaluates `steps` one after the other; tokens a second, `None` where there are none.
    fn time(
        &mut self,
        job: &Arc<Job>,
        cache: &mut KvCache,
        steps: &[&[u32]],
        threads: usize,
    ) -> Result<Option<f64>, ModelError> {
        let all: Vec<u32> = steps.concat();
        if all.is_empty() {
            return Ok(None);
        }
        self.check_prompt(&all, 0)?;
        let never = std::sync::atomic::AtomicBool::new(false);
        let start = Instant::now();
        for tokens in steps {
            job.check()?;
            let entry = BatchEntry { cache, tokens, logits: LogitRows::Last };
            self.shared.decoder.forward(&mut self.scratch, &mut [entry], threads, &never);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of tokens stay far below 2^53")]
        let rate = all.len() as f64 / start.elapsed().as_secs_f64();
        Ok(Some(rate))
    }
}

fn send_pieces(job: &Arc<Job>, pieces: Vec<Piece>) {
    if !pieces.is_empty() {
        job.send(Event::Pieces(pieces));
    }
}

/// Numbers sessions, over all models of the process.
pub(super) fn next_session() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
