package org.ailurus

/** The library itself. */
public object Ailurus {
    /** The version of this jar, which its native library must have too. */
    public const val VERSION: String = BUILD_VERSION

    /**
     * Loads the native library and checks that it belongs to this jar. The first call of anything else does the same,
     * so this is for apps that want to know at their start, and not at the first chat, that they were put together
     * wrongly; and it takes some 100 ms, which are better spent outside the main thread. Later calls do nothing.
     *
     * The library is looked for in the folders of the system property `jna.library.path`, then where the system keeps
     * its libraries, then in the jars on the class path.
     *
     * @throws NativeLibraryException which says what to do; it stays that way until the process ends.
     */
    @Throws(NativeLibraryException::class)
    public fun load() {
        NativeCode.load()
    }
}

/** The native library cannot be used; nothing of this library works then. */
public class NativeLibraryException internal constructor(
    /** What is wrong with it. */
    public val reason: Reason,
    message: String,
    cause: Throwable?,
) : Exception(message, cause) {
    /** What can be wrong with a native library. */
    public enum class Reason {
        /** There is none for this platform. */
        MISSING,

        /** It is there, and is none of this version of Ailurus. */
        OTHER_VERSION,

        /** It is there, and was built for another platform, or is damaged. */
        OTHER_PLATFORM,
    }
}
