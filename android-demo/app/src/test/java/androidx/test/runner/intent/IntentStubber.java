package androidx.test.runner.intent;

import android.app.Instrumentation;
import android.content.Intent;

/** A stub: docs/decisions/0005-robolectric.md. */
public interface IntentStubber {
    Instrumentation.ActivityResult getActivityResultForIntent(Intent intent);
}
