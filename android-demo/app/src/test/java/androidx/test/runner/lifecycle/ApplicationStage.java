package androidx.test.runner.lifecycle;

/** A stub: docs/decisions/0005-robolectric.md. */
public enum ApplicationStage {
    PRE_ON_CREATE, CREATED
}
