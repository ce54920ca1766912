package androidx.test.runner.intent;

/** A stub: docs/decisions/0005-robolectric.md. */
public interface IntentMonitor {}
