package androidx.test.runner.lifecycle;

/** A stub: docs/decisions/0005-robolectric.md. */
public final class ActivityLifecycleMonitorRegistry {
    public static void registerInstance(ActivityLifecycleMonitor monitor) {}
}
