package org.ailurus.android

import org.ailurus.Ailurus
import org.ailurus.LogLevel
import org.ailurus.NativeLibraryException
import org.ailurus.setLogSink

/** The library on Android. */
public object AilurusAndroid {
    /**
     * Loads the native library and sends its log to logcat, [logs] and what matters more; nothing without [logs]. An
     * app calls this before all else, best outside the main thread: it takes some 100 ms the first time.
     *
     * @throws NativeLibraryException if the app was put together wrongly.
     */
    @Throws(NativeLibraryException::class)
    public fun start(logs: LogLevel? = LogLevel.WARN) {
        try {
            // Only a library that is loaded this way is given the virtual machine, which its threads attach to.
            System.loadLibrary("ailurus")
        } catch (_: UnsatisfiedLinkError) {
            // What is wrong with it is said by the next line.
        }
        Ailurus.load()
        if (logs != null) {
            setLogSink(logs, null)
        }
    }
}
