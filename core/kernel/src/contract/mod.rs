//! The contract suites: what each port promises, as code that runs against any implementation.
