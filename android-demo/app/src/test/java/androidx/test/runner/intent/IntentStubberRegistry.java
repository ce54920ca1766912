package androidx.test.runner.intent;

/** A stub: docs/decisions/0005-robolectric.md. */
public final class IntentStubberRegistry {
    public static boolean isLoaded() {
        return false;
    }

    public static IntentStubber getInstance() {
        throw new IllegalStateException();
    }
}
