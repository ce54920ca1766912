package androidx.test.runner.intent;

/** A stub: docs/decisions/0005-robolectric.md. */
public final class IntentMonitorRegistry {
    public static void registerInstance(IntentMonitor monitor) {}
}
