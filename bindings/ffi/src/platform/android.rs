//! Android: threads known to the JVM, and logcat.

use std::ffi::c_void;
use std::sync::OnceLock;

use jni::{JavaVM, sys};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

static VM: OnceLock<JavaVM> = OnceLock::new();

/// Called by `System.loadLibrary`, which an app's first line does; JNA alone does not call it.
#[expect(unsafe_code, reason = "the JVM calls this by its name")]
#[unsafe(no_mangle)]
extern "system" fn JNI_OnLoad(vm: *mut sys::JavaVM, _: *mut c_void) -> sys::jint {
    // SAFETY: the JVM passes a pointer to itself, which stays valid as long as the process.
    let _ = VM.set(unsafe { JavaVM::from_raw(vm) });
    sys::JNI_VERSION_1_6
}

/// Attaches a thread until it ends. Otherwise JNA would attach and detach it for each call.
pub(super) fn attach_thread() {
    if let Some(vm) = VM.get()
        && let Err(error) = vm.attach_current_thread(|_| Ok::<_, jni::errors::Error>(()))
    {
        tracing::warn!(%error, "a thread is not attached to the JVM; calls to the app are slower");
    }
}

/// Logcat, under the tag "ailurus".
pub(super) fn log_layer<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_android::layer("ailurus").ok()
}
