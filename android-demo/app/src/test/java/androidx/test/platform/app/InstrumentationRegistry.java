package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

/** A stub: docs/decisions/0005-robolectric.md. */
public final class InstrumentationRegistry {
    public static void registerInstance(Instrumentation instrumentation, Bundle arguments) {}
}
