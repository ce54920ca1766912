package org.ailurus.demo.model

import org.ailurus.AilurusException
import org.ailurus.NativeLibraryException

/** What went wrong, as far as the app has a sentence of its own for it in the person's language. */
enum class Problem {
    BAD_BACKUP,
    BAD_LINK,
    CHANNEL_EXISTS,
    DISK_FULL,
    MOVED,
    NETWORK,
    NOT_ALLOWED,
    WRONG_KEY,
    ALREADY_IN,
    BAD_LIBRARY,

    /** For all others the library's English sentence is shown. */
    OTHER,
    ;

    companion object {
        fun of(exception: Throwable): Problem = when (exception) {
            is AilurusException.BadBackup -> BAD_BACKUP
            is AilurusException.BadLink -> BAD_LINK
            is AilurusException.ChannelExists -> CHANNEL_EXISTS
            is AilurusException.DiskFull -> DISK_FULL
            is AilurusException.Moved -> MOVED
            is AilurusException.Network -> NETWORK
            is AilurusException.NotAdmin, is AilurusException.NotAllowed -> NOT_ALLOWED
            is AilurusException.WrongKey -> WRONG_KEY
            is AilurusException.AlreadyIn -> ALREADY_IN
            is NativeLibraryException -> BAD_LIBRARY
            else -> OTHER
        }
    }
}
