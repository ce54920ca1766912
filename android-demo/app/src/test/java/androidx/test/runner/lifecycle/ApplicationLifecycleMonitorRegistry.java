package androidx.test.runner.lifecycle;

/** A stub: docs/decisions/0005-robolectric.md. */
public final class ApplicationLifecycleMonitorRegistry {
    public static void registerInstance(ApplicationLifecycleMonitor monitor) {}
}
