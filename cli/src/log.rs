//! The log of the servers: a line an event, as JSON objects with etcd's names or for people.
//!
//! Scripts wait for `"msg":"ready to serve client requests"`, so that text and the shape of a line are etcd's.

use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Panic,
    Fatal,
}

impl Level {
    /// The level of this name.
    pub fn parse(name: &str) -> Option<Level> {
        use Level::*;
        [Debug, Info, Warn, Error, Panic, Fatal].into_iter().find(|level| level.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Panic => "panic",
            Level::Fatal => "fatal",
        }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object.
    Json,
    /// Columns and then an object.
    Console,
}

/// What is logged, how and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least grave level that is logged.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
    /// `default` and `stderr`, `stdout`, or files.
    pub outputs: Vec<String>,
}

/// Where a line goes.
enum Sink {
    Stderr,
    Stdout,
    File(Mutex<File>),
}

/// An open log. Clones write to the same outputs.
#[derive(Clone)]
pub struct Log {
    level: Level,
    format: Format,
    sinks: Arc<[Sink]>,
}

impl Log {
    /// A log on standard error, for what happens before the settings are known.
    pub fn early() -> Log {
        Log { level: Level::Info, format: Format::Json, sinks: Arc::new([Sink::Stderr]) }
    }

    /// Opens the outputs.
    pub fn open(config: &LogConfig) -> Result<Log, String> {
        let open = |output: &String| match output.as_str() {
            "default" | "stderr" | "/dev/stderr" => Ok(Sink::Stderr),
            "stdout" | "/dev/stdout" => Ok(Sink::Stdout),
            path => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let refuse = |error| format!("--log-outputs: cannot write to {path}: {error}");
                file.map(|file| Sink::File(Mutex::new(file))).map_err(refuse)
            }
        };
        let sinks = config.outputs.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Log { level: config.level, format: config.format, sinks })
    }

    /// Logs what is done, for who looks for a mistake.
    pub fn debug(&self, message: &str, fields: Value) {
        self.log(Level::Debug, message, fields);
    }

    /// Logs something that an operator may want to know.
    pub fn info(&self, message: &str, fields: Value) {
        self.log(Level::Info, message, fields);
    }

    /// Logs something that an operator should look at.
    pub fn warn(&self, message: &str, fields: Value) {
        self.log(Level::Warn, message, fields);
    }

    /// Logs why the process ends.
    pub fn fatal(&self, message: &str, fields: Value) {
        self.log(Level::Fatal, message, fields);
    }

    /// From now on a panic, wherever it happens, is a line of this log and the end of the process: half of a server is worse
    /// than none, and whoever reads the log reads JSON.
    pub fn end_on_panic(&self) {
        let log = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current().name().unwrap_or_default().to_string();
            let at = panic.location().map(ToString::to_string).unwrap_or_default();
            let text = panic.payload_as_str().unwrap_or("without a message");
            let trace = std::backtrace::Backtrace::capture().to_string();
            let fields = json!({ "error": text, "thread": thread, "caller": at, "stacktrace": trace });
            log.log(Level::Panic, "a panic ends the process", fields);
            std::process::abort();
        }));
    }

    fn log(&self, level: Level, message: &str, fields: Value) {
        if level < self.level {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = line(self.format, level, now, message, &fields);
        for sink in self.sinks.iter() {
            // A log that cannot be written must not stop the store.
            let _ = match sink {
                Sink::Stderr => std::io::stderr().lock().write_all(line.as_bytes()),
                Sink::Stdout => std::io::stdout().lock().write_all(line.as_bytes()),
                Sink::File(file) => file.lock().map_or(Ok(()), |mut file| file.write_all(line.as_bytes())),
            };
        }
    }
}

fn line(format: Format, level: Level, now: Duration, message: &str, fields: &Value) -> String {
    let (level, time) = (level.name(), timestamp(now));
    let empty = Map::new();
    let fields = fields.as_object().unwrap_or(&empty);
    match format {
        Format::Json => {
            let rest: String = fields
                .iter()
                .map(|(name, value)| format!(",{}:{value}", Value::from(name.as_str())))
                .collect();
            format!("{{\"level\":\"{level}\",\"ts\":\"{time}\",\"msg\":{}{rest}}}\n", Value::from(message))
        }
        Format::Console if fields.is_empty() => format!("{time}\t{level}\t{message}\n"),
        Format::Console => format!("{time}\t{level}\t{message}\t{}\n", Value::from(fields.clone())),
    }
}

/// Universal time to the millisecond: `2026-11-23T18:58:24.306Z`.
fn timestamp(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    let (year, month, day) = civil_date((seconds / 86_400) as i64);
    let (seconds, millis) = (seconds % 60, since_epoch.subsec_millis());
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// The date of a day counted from 1970-01-01, by eras of 400 years that begin in March, so that leap days come last.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_etcds() {
        let now = Duration::from_millis(1_795_460_304_306);
        assert_eq!(
            line(
                Format::Json,
                Level::Info,
                now,
                "serving peer traffic",
                &json!({ "address": "127.0.0.1:2380" })
            ),
            "{\"level\":\"info\",\"ts\":\"2026-11-23T18:58:24.306Z\",\"msg\":\"serving peer traffic\",\
             \"address\":\"127.0.0.1:2380\"}\n"
        );
        assert_eq!(
            line(Format::Console, Level::Warn, now, "slow", &json!({})),
            "2026-11-23T18:58:24.306Z\twarn\tslow\n"
        );
    }

    #[test]
    fn dates() {
        for (days, date) in
            [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (11_017, (2000, 3, 1)), (19_722, (2023, 12, 31))]
        {
            assert_eq!(civil_date(days), date);
        }
    }
}
