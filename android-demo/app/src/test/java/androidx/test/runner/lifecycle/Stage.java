package androidx.test.runner.lifecycle;

/** A stub: docs/decisions/0005-robolectric.md. */
public enum Stage {
    PRE_ON_CREATE, CREATED, STARTED, RESUMED, PAUSED, STOPPED, RESTARTED, DESTROYED
}
