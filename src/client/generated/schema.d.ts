/** Made from the OpenAPI document by `npm run generate`; change src/api/ instead. */
export interface paths {
    "/functions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All functions */
        get: operations["listFunctions"];
        put?: never;
        /**
         * Create a function or change its settings
         * @description Creating the same function twice is not an error.
         */
        post: operations["putFunction"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/functions/{func_name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One function */
        get: operations["getFunction"];
        put?: never;
        post?: never;
        /** Delete a function, its code and its snapshots */
        delete: operations["deleteFunction"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/functions/{func_name}/code": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Upload a function's code
         * @description The body is a zip or tar archive (the tar may be gzipped) of what the guest sees at `/var/task`. VMs that run keep the code they started with.
         */
        put: operations["putCode"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/functions/{func_name}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What the function printed last
         * @description The last lines of all its instances, oldest first.
         */
        get: operations["functionLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether the daemon answers */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/info": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Version, accelerator, VMM, data folder */
        get: operations["info"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/invocations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Invoke a function
         * @description With `vmId` warm in that VM; else with `ssId` in a VM restored from that snapshot; else where the function's placement says.
         */
        post: operations["invoke"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Metrics */
        get: operations["metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/snapshots": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All snapshots */
        get: operations["listSnapshots"];
        /**
         * Copy a snapshot
         * @description The copy has a memory file of its own, which shares its blocks where the file system can, and all that was recorded of the source.
         */
        put: operations["copySnapshot"];
        /**
         * Take a snapshot of a microVM
         * @description The VM goes on afterwards.
         */
        post: operations["takeSnapshot"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/snapshots/{ssId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One snapshot */
        get: operations["getSnapshot"];
        put?: never;
        post?: never;
        /** Delete a snapshot and its files */
        delete: operations["deleteSnapshot"];
        options?: never;
        head?: never;
        /** Dig holes into a snapshot's memory file, or load or drop its cache */
        patch: operations["patchSnapshot"];
        trace?: never;
    };
    "/snapshots/{ssId}/mincore": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A snapshot's layers, regions and loading set, counted */
        get: operations["getMincore"];
        /**
         * Carry another snapshot's layers over
         * @description They replace those that there are, and the file that was made of them.
         */
        put: operations["carryMincore"];
        /** Add a layer of pages that two snapshots share and that are not zero */
        post: operations["addMincoreLayer"];
        delete?: never;
        options?: never;
        head?: never;
        /** Emulate or trim a snapshot's layers, write its working-set file, change caches */
        patch: operations["patchMincore"];
        trace?: never;
    };
    "/snapshots/{ssId}/reap": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What REAP has recorded */
        get: operations["getReap"];
        put?: never;
        post?: never;
        /** Forget what REAP has recorded */
        delete: operations["forgetReap"];
        options?: never;
        head?: never;
        /** Keep REAP's working-set file in the page cache, or drop it from there */
        patch: operations["cacheReap"];
        trace?: never;
    };
    "/snapshots/{ssId}/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Read a snapshot in full and verify it
         * @description Drops its memory from the page cache first, so that the disk is read. SNAPSHOT_UNUSABLE says what is damaged.
         */
        post: operations["verifySnapshot"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/snapshots/{ssId}/working-set": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What was recorded of a snapshot, and what was made of it */
        get: operations["getWorkingSet"];
        put?: never;
        post?: never;
        /** Forget all that was recorded of a snapshot, and all that was made of it */
        delete: operations["forgetWorkingSet"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/snapshots/{ssId}/working-set/picture": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * A picture of a snapshot's memory
         * @description Which pages are zero, resident, touched by invocations, and prefetched.
         */
        get: operations["workingSetPicture"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/vmms": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Start a microVM for the pool
         * @description Restores a snapshot ahead of an invocation. The next invocation with its `ssId`, and with this strategy or none, takes the VM and only resumes it. Answers at once; the VM may still be starting.
         */
        post: operations["poolVm"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/vms": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All microVMs */
        get: operations["listVms"];
        put?: never;
        /**
         * Start a microVM
         * @description Answers at once; the VM may still be starting. Invocations of it wait until it is ready.
         */
        post: operations["startVm"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/vms/{vmId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One microVM */
        get: operations["getVm"];
        put?: never;
        post?: never;
        /**
         * End a microVM
         * @description Answers when it is gone.
         */
        delete: operations["deleteVm"];
        options?: never;
        head?: never;
        /**
         * Set a microVM's memory by hand
         * @description Answers when the guest has it. It stays until its instances need more, or it is set again. A size that cannot be is refused with the nearest that can; a guest that does not get there in time keeps the size of before.
         */
        patch: operations["resizeVm"];
        trace?: never;
    };
    "/vms/{vmId}/console": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The end of a VM's console
         * @description Consoles of VMs that failed lately are kept too.
         */
        get: operations["vmConsole"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description An error. */
        Error: {
            /**
             * @description Which error it is; docs/errors.md lists them.
             * @enum {string}
             */
            code: "INVALID_REQUEST" | "INVALID_PARAMS" | "INVALID_ARCHIVE" | "INVALID_CONFIG" | "INVALID_TRACE" | "UNSUPPORTED_FIELD" | "PATH_NOT_ALLOWED" | "MEMORY_TOO_SMALL" | "LIMIT_EXCEEDED" | "HOST_NOT_ALLOWED" | "ORIGIN_NOT_ALLOWED" | "ROUTE_NOT_FOUND" | "FUNCTION_NOT_FOUND" | "IMAGE_NOT_FOUND" | "KERNEL_NOT_FOUND" | "VM_NOT_FOUND" | "SNAPSHOT_NOT_FOUND" | "METHOD_NOT_ALLOWED" | "REQUEST_TIMEOUT" | "UNSUPPORTED_MEDIA_TYPE" | "BODY_TOO_LARGE" | "ARCHIVE_TOO_LARGE" | "HEADERS_TOO_LARGE" | "FUNCTION_HAS_NO_CODE" | "FUNCTION_IN_USE" | "FUNCTION_MISMATCH" | "SNAPSHOT_IN_USE" | "SNAPSHOT_UNUSABLE" | "VM_WRONG_STATE" | "OPERATION_UNSUPPORTED" | "NO_PLACE" | "FUNCTION_NOT_FROZEN" | "HANDLER_NOT_FOUND" | "HANDLER_FAILED" | "HANDLER_EXITED" | "HANDLER_OUT_OF_MEMORY" | "HANDLER_TIMEOUT" | "RESULT_NOT_JSON" | "RESULT_TOO_LARGE" | "GUEST_NOT_READY" | "GUEST_PANICKED" | "GUEST_PROTOCOL" | "VM_DIED" | "RESIZE_TIMED_OUT" | "STORAGE_FULL" | "NO_MEMORY_BLOCK" | "TOO_MANY_VMS" | "TOO_MANY_REQUESTS" | "HOST_MEMORY_FULL" | "DEPENDENCY_MISSING" | "DATA_IN_USE" | "VMM_FAILED" | "PAGE_SERVER_FAILED" | "IMAGE_BUILD_FAILED" | "SHUTTING_DOWN" | "DAEMON_UNREACHABLE" | "INTERNAL";
            /** @description The guest console's last lines. */
            console?: string;
            /** @description The function's own error type. */
            errorType?: string;
            /**
             * @description Who can do something about it.
             * @enum {string}
             */
            fault: "caller" | "function" | "guest" | "host" | "platform";
            /** @description The field of the request that is wrong. */
            field?: string;
            /** @description The memory that the function was limited to, MiB. */
            limitMiB?: number;
            /** @description What the function printed last. */
            logs?: string;
            /** @description What is wrong and, where possible, what to do. */
            message: string;
            /** @description The same request may succeed later. */
            retryable: boolean;
            /** @description After so many seconds the same request is worth another try; `Retry-After` says the same. */
            retryAfterS?: number;
            /** @description The function's own stack trace. */
            stack?: string;
            /** @description The step that failed. */
            step?: string;
        };
        /** @description A function. */
        Function: {
            /** @description Size of the code drive, bytes. */
            code_bytes?: number;
            /** @description SHA-256 of the code drive; absent until code was uploaded. */
            code_sha256?: string;
            /**
             * Format: date-time
             * @description When the function was created.
             */
            created_at: string;
            /** @description Environment of the handler. */
            env: {
                [key: string]: string;
            };
            /** @description The function's name. */
            func_name: string;
            /** @description The handler as `file.function`. */
            handler: string;
            /** @description Alias of the root file system. */
            image: string;
            /** @description Alias of the guest kernel. */
            kernel: string;
            /** @description Instances in one VM. Absent: as the configuration says. */
            max_instances?: number;
            /** @description VMs beyond which none is restored or booted for an invocation that names none. Absent: as the configuration says. */
            max_vms?: number;
            /** @description Memory of its microVMs, MiB. */
            mem_size: number;
            /** @description Where invocations go that name no VM and no snapshot, the first that is open: an idle instance (`warm`), a new instance in a VM that runs (`vertical`), the newest usable snapshot (`snapshot`), a boot (`cold`). What is left out is not used. Absent: as the configuration says. */
            placement?: ("warm" | "vertical" | "snapshot" | "cold")[];
            /** @description How its snapshots are restored when an invocation does not say. */
            restore_strategy: string;
            /**
             * @description What runs the handler.
             * @enum {string}
             */
            runtime: "python3" | "nodejs";
            /** @description Time limit of an invocation, ms. */
            timeout_ms: number;
            /**
             * Format: date-time
             * @description When its settings or code last changed.
             */
            updated_at: string;
            /** @description vCPUs of its microVMs. */
            vcpu: number;
        };
        /** @description Settings of a function. What is left out keeps its value or gets its default. */
        FunctionInput: {
            /** @description Environment of the handler: replaces the whole environment. */
            env?: {
                [key: string]: string;
            };
            /** @description The function's name. */
            func_name: string;
            /** @description The handler as `file.function`. Default `app.handler`. */
            handler?: string;
            /** @description Alias of the root file system, from the configuration. */
            image?: string;
            /** @description Alias of the guest kernel, from the configuration. */
            kernel?: string;
            /** @description Instances in one VM; more than one needs a memory policy that grows. Default: the configuration's `placement`. */
            max_instances?: number;
            /** @description VMs beyond which none is restored or booted for an invocation that names none. Default: the configuration's `placement`. */
            max_vms?: number;
            /** @description Memory, MiB. */
            mem_size?: number;
            /** @description Where invocations go that name no VM and no snapshot, the first that is open: an idle instance (`warm`), a new instance in a VM that runs (`vertical`), the newest usable snapshot (`snapshot`), a boot (`cold`). What is left out is not used. Default: the configuration's `placement`. */
            placement?: ("warm" | "vertical" | "snapshot" | "cold")[];
            /**
             * @description How its snapshots are restored when an invocation does not say.
             * @enum {string}
             */
            restore_strategy?: "vanilla" | "cached" | "reap" | "faasnap" | "populate" | "auto";
            /**
             * @description What runs the handler. Default `python3`.
             * @enum {string}
             */
            runtime?: "python3" | "nodejs";
            /** @description Time limit of an invocation, ms. */
            timeout_ms?: number;
            /** @description vCPUs. */
            vcpu?: number;
        };
        /** @description The daemon answers. */
        Health: {
            /**
             * @description Always `ok`.
             * @enum {string}
             */
            status: "ok";
        };
        /** @description The daemon. */
        Info: {
            /**
             * @description How guests run; `tcg` (software emulation) isolates nothing.
             * @enum {string}
             */
            accelerator: "kvm" | "tcg" | "none";
            /** @description Why this one. */
            acceleratorReason: string;
            /** @description The data folder. */
            dataDir: string;
            /** @description MicroVMs that stand restored ahead of invocations. */
            pool: {
                /** @description One that nobody takes is ended after this, ms. */
                keepMs: number;
                /** @description Nor more guest memory than this, MiB. */
                maxMemMiB: number;
                /** @description The daemon keeps no more by itself. */
                maxVms: number;
                /** @description Sum of their guest memory, MiB. */
                memMiB: number;
                /** @description MicroVMs in it. */
                vms: number;
                /** @description Invocations count as demand for so long, ms. */
                windowMs: number;
            };
            /** @description What the last daemon left and this one ended when it started, by kind. */
            reclaimed: {
                [key: string]: number;
            };
            /** @description Sparkler's version. */
            version: string;
            /** @description Name and version of the VMM. */
            vmm: string;
            /** @description What this host does not let the daemon do. */
            warnings: string[];
        };
        /** @description An invocation. Neither `vmId` nor `ssId`: it goes where the rules of its function say; `placement` in the answer says why. */
        Invocation: {
            /** @description Restore as REAP does: the same as `strategy: reap`. */
            enableReap?: boolean | null;
            /** @description The function to invoke. */
            func_name: string;
            /** @description `faasnap`: the mincore layers that the loader reads beside the restore, 1 being the first. Empty: all of them. */
            loadMincore?: number[] | null;
            /** @description With `ssId`: record which pages come into the page cache, scanning every so many ms (0: as often as possible). -1: do not. */
            mincore?: number | null;
            /** @description With `ssId`: the same, scanning each time the VMM's resident memory has grown by so many pages. 0: do not. */
            mincore_size?: number | null;
            /**
             * @description The network slot. A string; not in this version: only "" or null is accepted.
             * @enum {unknown}
             */
            namespace?: "" | null;
            /** @description `faasnap`: map the regions that are not zero from the memory file. */
            overlay_regions?: boolean | null;
            /** @description The event: a string of JSON. Default, also for "": `{}`. */
            params?: string;
            /** @description Without `vmId` and `ssId`: the places to try, instead of the function's. `["cold"]` boots a VM. */
            placement?: ("warm" | "vertical" | "snapshot" | "cold")[];
            /** @description `vanilla`: make all of guest memory resident before the guest runs. For measurements: the time without any paging. */
            resident?: boolean | null;
            /** @description Without `vmId`: invoke it in a VM restored from this snapshot, which stays alive; in one of the pool where one waits. */
            ssId?: string;
            /**
             * @description With `ssId`: how guest memory comes back. Default: the function's `restore_strategy`.
             * @enum {string}
             */
            strategy?: "vanilla" | "cached" | "reap" | "faasnap" | "populate" | "auto";
            /** @description Shortens the function's own time limit, never extends it; ms. */
            timeout_ms?: number;
            /** @description `faasnap`: map the memory file under everything else. */
            use_mem_file?: boolean | null;
            /** @description `faasnap`: map the loading set from its compact file. */
            use_ws_file?: boolean | null;
            /** @description Invoke it warm, in this VM. Waits while the VM is starting or busy. */
            vmId?: string;
            /** @description `faasnap`: the VMM enters the loading set in its own page tables. */
            vmm_load_ws?: boolean | null;
            /** @description `reap`: read the working-set file past the page cache. */
            wsFileDirectIo?: boolean | null;
            /** @description `reap`: read the working-set file in a single read. */
            wsSingleRead?: boolean | null;
        };
        /** @description What an invocation gave. */
        InvocationResult: {
            /** @description The whole request, ms. */
            duration: number;
            /** @description Page faults of the VMM process while the invocation ran; of a new VM from its start. */
            faults: {
                /** @description Major page faults: those that waited for the disk. */
                major: number;
                /** @description Minor page faults. */
                minor: number;
            };
            /** @description Its VMM was forked, guest and all, from that of a VM that stays in the pool. */
            forked?: boolean;
            /** @description Inside the handler, by the guest's clock, ms. */
            handlerMs: number;
            /** @description How the instance was started. Absent: it was there. */
            instance?: {
                /** @description It was made from a process that had loaded the handler already. */
                from_zygote: boolean;
                /** @description By the guest's clock, until its handler was loaded. */
                init_ms: number;
            };
            /** @description What the invocation printed, its last part. */
            logs: string;
            /** @description Milliseconds from the request's arrival until each point; absent where it did not occur. */
            phases: {
                /** @description The answer is there: what users feel. */
                firstResponse: number;
                /** @description The memory that is brought in before the guest runs is there. */
                memoryReady?: number;
                /** @description The instance can take the event. */
                ready: number;
                /** @description The guest's CPUs run. */
                resumed?: number;
                /** @description The snapshot's device state is loaded. */
                stateLoaded?: number;
                /** @description The VMM process answers. */
                vmmUp?: number;
            };
            /** @description Why the invocation went where it went: `startKind` says where. Absent when it named a VM or a snapshot. */
            placement?: {
                /** @description The places that were tried before, in order. */
                passed: {
                    /**
                     * @description A place that was tried before.
                     * @enum {string}
                     */
                    place: "warm" | "vertical" | "snapshot" | "cold";
                    /** @description Why it was not open. */
                    why: string;
                }[];
                /** @description Why its instance came from there. */
                why: string;
            };
            /** @description Its VM stood restored in the pool: `vmmUp` and `stateLoaded` were reached before the request; or it is forked from one that does. Absent: neither. */
            pooled?: boolean;
            /** @description How the VM was restored; of its first invocation only. */
            restore?: {
                /** @description How long it took for that, ms. */
                populate_ms: number;
                /** @description Pages that the VMM entered in its page tables by itself. */
                populated_pages: number;
                /** @description Pages that were installed before the guest ran. */
                prefetched_pages: number;
                /** @description Bytes read from a disk for the VM, its page server included. */
                read_bytes: number;
                /** @description This invocation was recorded: the next restores can use it. */
                recorded: boolean;
                /** @description Page faults that the page server answered. */
                served_faults: number;
                /** @description The strategy that was used. */
                strategy: string;
                /** @description Why this one, and what it did. */
                why: string;
            };
            /** @description What the handler returned: a string of JSON. */
            result: string;
            /**
             * @description How the invocation got its instance: `warm`, one that was there; `vertical`, a new one in a VM that ran; `snapshot`, in a VM restored for it; `cold`, in a VM booted for it.
             * @enum {string}
             */
            startKind: "warm" | "vertical" | "snapshot" | "cold";
            /** @description Its trace: that of the `traceparent` header, else a new one. */
            traceId: string;
            /** @description The VM that served it; it stays alive. */
            vmId: string;
        };
        /** @description A snapshot's mincore state. */
        Mincore: {
            /** @description Regions of pages that are not zero. */
            n_nz_regions: number;
            /** @description Regions in the working-set file; 0 while there is none. */
            n_ws_regions: number;
            /** @description Layers: groups of pages in the order in which a recording saw them. */
            nlayers: number;
            /** @description Pages in them, with the gaps that belong to them. */
            nz_region_size: number;
            /** @description Pages in them. */
            ws_region_size: number;
        };
        /** @description A layer to add. */
        MincoreLayer: {
            /** @description The snapshot whose pages are compared. */
            fromDiff: string;
            /** @description Which layer it becomes, 1 being the first; later ones move back by one. */
            position: number;
        };
        /** @description What to do, in the order of the fields. */
        MincorePatch: {
            /** @description Drop the working-set files from the page cache. */
            drop_ws_cache?: boolean | null;
            /** @description Make layers of so many pages each from the page faults that `reap` recorded, instead of those there are. 0: do not. */
            from_records_size?: number | null;
            /** @description `to_ws_file`: also pages that are not zero and in no layer; they come last. */
            inactive_ws?: boolean | null;
            /** @description `to_ws_file`: gaps of fewer pages are filled. Default 32. */
            interval_threshold?: number | null;
            /** @description Drop the memory file from the page cache, then read the pages of these layers into it. Empty: do not. */
            mincore_cache?: number[] | null;
            /** @description `to_ws_file`: without regions of fewer pages. Default 0. */
            size_threshold?: number | null;
            /** @description Write the loading set to the snapshot's working-set file. A path: a copy of the file goes there too, and is the caller's; an absolute path inside a folder that the configuration allows. */
            to_ws_file?: boolean | string | null;
            /** @description Take pages outside of the snapshot's regions out of the layers. */
            trim_regions?: boolean | null;
            /** @description `to_ws_file`: also zero pages that are in a layer. */
            zero_ws?: boolean | null;
        };
        /** @description REAP's state of a snapshot. */
        Reap: {
            /** @description It was read into the page cache and not dropped since. */
            cached: boolean;
            /** @description Recorded invocations; 0: the next one is recorded. */
            traces: number;
            /** @description Bytes of it. */
            ws_bytes: number;
            /** @description The recorded pages are in a working-set file. */
            ws_file: boolean;
            /** @description Pages in it. */
            ws_pages: number;
            /** @description Regions in it. */
            ws_regions: number;
        };
        /** @description A snapshot. */
        Snapshot: {
            /** @description SHA-256 of the function's code drive. */
            code_sha256: string;
            /**
             * Format: date-time
             * @description When it was taken.
             */
            created_at: string;
            /** @description Bytes that its files take on disk; the memory file is sparse. */
            disk_bytes: number;
            /** @description The function that the VM ran. */
            func_name: string;
            /** @description Alias of the root file system. */
            image: string;
            /** @description Pages of the smallest gap. */
            interval_threshold: number;
            /** @description Alias of the guest kernel. */
            kernel: string;
            /** @description File of guest memory. */
            mem_file_path: string;
            /** @description Memory of the machine, MiB. */
            mem_size: number;
            /** @description Non-zero regions are mapped on their own. */
            record_regions: boolean;
            /** @description Pages of the smallest region. */
            size_threshold: number;
            /** @description File of the device state. */
            snapshot_path: string;
            /**
             * @description All of memory.
             * @enum {string}
             */
            snapshot_type: "Full";
            /** @description Its id. */
            ssId: string;
            /** @description vCPUs of the machine. */
            vcpu: number;
            /** @description Name and version of the VMM that took it. */
            version: string;
            /** @description The VM that it was taken of; it may be gone. */
            vmId: string;
        };
        /** @description A snapshot to take. */
        SnapshotInput: {
            /** @description Gaps of fewer zero pages become part of a region. Default 32. */
            interval_threshold?: number;
            /** @description Where guest memory goes: an absolute path inside a folder that the configuration allows. Default: the snapshot's own folder. */
            mem_file_path?: string;
            /** @description `faasnap` maps the regions that are not zero over anonymous memory. Default true; false: over the memory file. */
            record_regions?: boolean;
            /** @description Smaller regions, in pages, are not mapped on their own. Default 0. */
            size_threshold?: number;
            /** @description Where the device state goes: an absolute path inside a folder that the configuration allows. Default: the snapshot's own folder. */
            snapshot_path?: string;
            /**
             * @description All of memory: the only type there is.
             * @enum {string}
             */
            snapshot_type?: "Full";
            /** @description Its id. Default: a new one. */
            ssId?: string;
            /** @description The original's wish for a format of Firecracker's. Has no effect: the answer names the VMM that took the snapshot. */
            version?: string;
            /** @description The VM to take it of. */
            vmId: string;
        };
        /** @description What to do. */
        SnapshotPatch: {
            /** @description Make zero blocks of the memory file holes. */
            dig_hole?: boolean;
            /** @description Drop the memory file from the page cache. */
            drop_cache?: boolean;
            /** @description Read the memory file into the page cache. */
            load_cache?: boolean;
        };
        /** @description A snapshot that was just taken. */
        SnapshotTaken: {
            /** @description SHA-256 of the function's code drive. */
            code_sha256: string;
            /**
             * Format: date-time
             * @description When it was taken.
             */
            created_at: string;
            /** @description Bytes that its files take on disk; the memory file is sparse. */
            disk_bytes: number;
            /** @description Taking it, the whole request, ms. */
            duration_ms: number;
            /** @description The function that the VM ran. */
            func_name: string;
            /** @description Alias of the root file system. */
            image: string;
            /** @description Pages of the smallest gap. */
            interval_threshold: number;
            /** @description Alias of the guest kernel. */
            kernel: string;
            /** @description File of guest memory. */
            mem_file_path: string;
            /** @description Memory of the machine, MiB. */
            mem_size: number;
            /** @description For so long the guest stood still, ms. */
            paused_ms: number;
            /** @description Non-zero regions are mapped on their own. */
            record_regions: boolean;
            /** @description Pages of the smallest region. */
            size_threshold: number;
            /** @description File of the device state. */
            snapshot_path: string;
            /**
             * @description All of memory.
             * @enum {string}
             */
            snapshot_type: "Full";
            /** @description Its id. */
            ssId: string;
            /** @description vCPUs of the machine. */
            vcpu: number;
            /** @description Name and version of the VMM that took it. */
            version: string;
            /** @description The VM that it was taken of; it may be gone. */
            vmId: string;
        };
        /** @description A snapshot that is whole. */
        Verification: {
            /** @description Recordings and files made of them that were damaged, and are gone now. */
            dropped: string[];
            /** @description How long it took, ms. */
            duration_ms: number;
            /** @description What was read in full and found whole. */
            files: {
                /** @description Bytes of it. */
                bytes: number;
                /** @description Its name in the snapshot's folder, or its path. */
                name: string;
            }[];
            /** @description SHA-256 over the checksums of guest memory. */
            memory_id: string;
            /** @description Bytes of all of them; holes count as zeros. */
            read_bytes: number;
        };
        /** @description A microVM. */
        VM: {
            /** @description An invocation is running. */
            busy: boolean;
            /**
             * Format: date-time
             * @description When it was asked for.
             */
            createdAt: string;
            /** @description How many invocations it has served. */
            invocations: number;
            /** @description Its memory. */
            memory: {
                /** @description The guest's own statistics, through its balloon. */
                balloonStats?: {
                    /** @description How old this is, ms. */
                    ageMs: number;
                    /** @description Free, or could be at once, bytes. */
                    availableBytes?: number;
                    /** @description Cached files, bytes. */
                    diskCacheBytes?: number;
                    /** @description Free, bytes. */
                    freeBytes?: number;
                    /** @description Page faults that read from a disk. */
                    majorFaults?: number;
                    /** @description Page faults that did not. */
                    minorFaults?: number;
                    /** @description All of it, bytes. */
                    totalBytes?: number;
                };
                /** @description Its blocks; one VM only. */
                blocks?: {
                    /** @description Its size, MiB. */
                    memMiB: number;
                    /** @description Number of the guest's NUMA node. */
                    node: number;
                    /** @description Host memory behind it, bytes. */
                    residentBytes: number;
                    /**
                     * @description `taken`: an instance has it. `returning`: it is being given back to the host. `closed`: taken out by hand.
                     * @enum {string}
                     */
                    state: "free" | "taken" | "returning" | "closed";
                    /** @description What of it the guest has allocated; absent when the guest could not be asked, bytes. */
                    usedBytes?: number;
                }[];
                /** @description The most that it may have, MiB. */
                configuredMiB: number;
                /** @description What its instances have been given of that, MiB. */
                grantedMiB: number;
                /** @description Its instances; one VM only. */
                instances?: {
                    /** @description What it uses now, bytes. */
                    currentBytes: number;
                    /** @description Its number in the VM. */
                    instance: number;
                    /** @description What it may use at most; absent: the VM's own memory is the limit, bytes. */
                    limitBytes?: number;
                    /** @description The blocks that it is bound to. */
                    nodes: number[];
                    /** @description The most that it has used, bytes. */
                    peakBytes: number;
                }[];
                /** @description What it has now, MiB. */
                pluggedMiB: number;
                /**
                 * @description Its memory policy.
                 * @enum {string}
                 */
                policy: "static" | "balloon" | "virtio-mem" | "blocks";
                /** @description How memory is populated ahead; policy `blocks` only. */
                population?: {
                    /** @description What the next instance gets populated ahead, bytes. */
                    eagerBytes: number;
                    /** @description From how many earlier instances that was learned; 0: it is as configured. */
                    peaks: number;
                    /**
                     * @description Whether second-level page tables are filled as well.
                     * @enum {string}
                     */
                    preTdpFault: "off" | "on" | "unavailable";
                    /** @description Why that is unavailable. */
                    why?: string;
                };
                /** @description Host memory behind it (policy `static`: that of the whole VMM); one VM only, bytes. */
                residentBytes?: number;
                /** @description What is neither free in the guest nor could be at once; one VM only, bytes. */
                usedByGuestBytes?: number;
            };
            /** @description Its network slot. */
            namespace?: string;
            /** @description Process id of the VMM. */
            pid?: number;
            /** @description It waits in the pool for an invocation of its snapshot. Absent: it does not. */
            pooled?: boolean;
            /** @description Resident memory of the VMM process, bytes. */
            residentBytes?: number;
            /** @description The snapshot that it was restored from. */
            ssId?: string;
            /**
             * @description How it was started.
             * @enum {string}
             */
            startKind: "cold" | "snapshot";
            /**
             * @description `starting`: cannot serve yet, invocations wait. `paused`: restored ahead, resumed by its first invocation.
             * @enum {string}
             */
            state: "starting" | "running" | "paused" | "failed" | "closing" | "closed";
            /** @description What it was made of. */
            vmConf: {
                /**
                 * @description How its instructions run: hardware, software emulation, not at all.
                 * @enum {string}
                 */
                accelerator: "kvm" | "tcg" | "none";
                /** @description The function that it runs. */
                func_name: string;
                /** @description Alias of the root file system. */
                image: string;
                /** @description Alias of the guest kernel. */
                kernel: string;
                /** @description All memory that it may come to have, MiB. */
                mem_size: number;
                /** @description vCPUs. */
                vcpu: number;
            };
            /** @description Its id. */
            vmId: string;
            /** @description The VM's folder on the host. */
            vmPath: string;
        };
        /** @description A microVM to start. */
        VMInput: {
            /** @description Policy `blocks` only: the size of each block, MiB. Default: as many as fit into `mem`, each of the function's memory. */
            blocks?: number[];
            /** @description The same as `memory_policy: balloon`. */
            enable_balloon?: boolean | null;
            /** @description The same as `memory_policy: blocks`; where a kernel `faascale` is configured, that kernel, which manages blocks by itself. */
            enable_faascale?: boolean | null;
            /** @description The function that it shall run. */
            func_name: string;
            /** @description Alias of the guest kernel. Default: the function's. */
            kernel?: string;
            /** @description All memory that the VM may come to have, MiB. Default: the function's where its memory is static, else enough for `memory.instances` instances of it. */
            mem?: number;
            /**
             * @description How its memory follows its instances. `static`: it has one size. `balloon`: what no invocation needs is taken back. `virtio-mem`: plugged and unplugged. `blocks`: an instance is bound to blocks of its own. Default: `memory.policy` of the configuration.
             * @enum {string}
             */
            memory_policy?: "static" | "balloon" | "virtio-mem" | "blocks" | "";
            /**
             * @description The network slot. A string; not in this version: only "" or null is accepted.
             * @enum {unknown}
             */
            namespace?: "" | null;
            /** @description Restore this snapshot ahead of an invocation. The guest runs once until it confirms the restore; then the VM stays paused until its first invocation. */
            ssId?: string;
            /** @description vCPUs. Default: the function's. */
            vcpu?: number;
        };
        /** @description A microVM for the pool. */
        VMMInput: {
            /** @description Restore as REAP does: the same as `strategy: reap`. */
            enableReap?: boolean | null;
            /**
             * @description The network slot. A string; not in this version: only "" or null is accepted.
             * @enum {unknown}
             */
            namespace?: "" | null;
            /** @description The snapshot that it is restored from. Default: the one that was invoked or taken last. */
            ssId?: string;
            /**
             * @description How guest memory comes back. Default: the function's `restore_strategy`.
             * @enum {string}
             */
            strategy?: "vanilla" | "cached" | "reap" | "faasnap" | "populate" | "auto";
        };
        /** @description Memory for a microVM. */
        VMResize: {
            /** @description All memory that it is to have now, MiB. */
            mem: number;
        };
        /** @description What is known of the working set of a snapshot. */
        WorkingSet: {
            /** @description Only with `at_least`. */
            common?: {
                /** @description In so many of the recordings at least … */
                at_least: number;
                /** @description … of so many … */
                of: number;
                /** @description … are so many pages. */
                pages: number;
            };
            /** @description The working-set files that there are. */
            files: {
                /** @description Bytes of it. */
                bytes: number;
                /** @description It was read into the page cache by this daemon and not dropped since. */
                cached: boolean;
                /** @description Pages in it. */
                pages: number;
                /** @description Regions in it. */
                regions: number;
                /**
                 * @description The strategy that uses it.
                 * @enum {string}
                 */
                strategy: "reap" | "faasnap" | "populate";
            }[];
            /** @description Those of them that are not zero. */
            nonzero_pages: number;
            /** @description Pages of guest memory, 4096 bytes each. */
            pages: number;
            /** @description One for each recorded invocation; traces oldest first, then layers. */
            recordings: {
                /** @description Bytes of it. */
                event_bytes: number;
                /** @description SHA-256 of the event that was invoked. */
                event_sha256: string;
                /**
                 * @description `userfault`: page faults; `mincore`: scans of the page cache.
                 * @enum {string}
                 */
                kind: "userfault" | "mincore";
                /** @description Layers in it; 0 for page faults. */
                layers: number;
                /** @description Which recording. */
                name: string;
                /** @description Pages in it. */
                pages: number;
                /**
                 * Format: date-time
                 * @description When.
                 */
                recorded_at: string;
            }[];
            /** @description Each pair of recordings. */
            similarities: {
                /** @description Shared pages by all pages of both, 0 to 1. */
                jaccard: number;
                /** @description A recording. */
                one: string;
                /** @description Another one. */
                other: string;
            }[];
            /** @description Pages that invocations are known to write. */
            written_pages?: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    listFunctions: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The functions. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Function"][];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    putFunction: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["FunctionInput"];
            };
        };
        responses: {
            /** @description A function. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Function"];
                };
            };
            /** @description `UNSUPPORTED_FIELD`, `MEMORY_TOO_SMALL`, `LIMIT_EXCEEDED`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `IMAGE_NOT_FOUND`, `KERNEL_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `STORAGE_FULL` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    getFunction: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The function's name. */
                func_name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A function. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Function"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    deleteFunction: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The function's name. */
                func_name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The function is gone. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_IN_USE`, `SNAPSHOT_IN_USE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    putCode: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The function's name. */
                func_name: string;
            };
            cookie?: never;
        };
        /** @description The archive. */
        requestBody: {
            content: {
                "application/gzip": string;
                "application/octet-stream": string;
                "application/x-tar": string;
                "application/zip": string;
            };
        };
        responses: {
            /** @description A function. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Function"];
                };
            };
            /** @description `INVALID_ARCHIVE`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `STORAGE_FULL` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `ARCHIVE_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `IMAGE_BUILD_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    functionLogs: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The function's name. */
                func_name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The lines. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The daemon answers. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Health"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    info: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The daemon. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Info"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    invoke: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Invocation"];
            };
        };
        responses: {
            /** @description What an invocation gave. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["InvocationResult"];
                };
            };
            /** @description `UNSUPPORTED_FIELD`, `INVALID_PARAMS`, `MEMORY_TOO_SMALL`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_NOT_FOUND`, `VM_NOT_FOUND`, `SNAPSHOT_NOT_FOUND`, `IMAGE_NOT_FOUND`, `KERNEL_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_HAS_NO_CODE`, `FUNCTION_MISMATCH`, `VM_WRONG_STATE`, `NO_PLACE`, `SNAPSHOT_UNUSABLE`, `OPERATION_UNSUPPORTED`, `STORAGE_FULL` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HANDLER_NOT_FOUND`, `HANDLER_FAILED`, `HANDLER_EXITED`, `HANDLER_OUT_OF_MEMORY`, `HANDLER_TIMEOUT`, `RESULT_NOT_JSON`, `RESULT_TOO_LARGE` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `GUEST_NOT_READY`, `GUEST_PANICKED`, `GUEST_PROTOCOL`, `VM_DIED` */
            424: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_VMS`, `TOO_MANY_REQUESTS`, `HOST_MEMORY_FULL` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `PAGE_SERVER_FAILED`, `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    metrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Prometheus' text format. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    listSnapshots: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The snapshots. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Snapshot"][];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    copySnapshot: {
        parameters: {
            query: {
                /** @description The snapshot to copy. */
                from_snapshot: string;
                /** @description Where the copy's memory goes: an absolute path inside a folder that the configuration allows. Default: the snapshot's own folder. */
                mem_file_path?: string;
                /** @description The copy's id. Default: a new one. */
                ssId?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A snapshot. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Snapshot"];
                };
            };
            /** @description `PATH_NOT_ALLOWED`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND`, `FUNCTION_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE`, `OPERATION_UNSUPPORTED`, `STORAGE_FULL` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VMM_FAILED`, `DEPENDENCY_MISSING`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    takeSnapshot: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SnapshotInput"];
            };
        };
        responses: {
            /** @description A snapshot that was just taken. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SnapshotTaken"];
                };
            };
            /** @description `UNSUPPORTED_FIELD`, `PATH_NOT_ALLOWED`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VM_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VM_WRONG_STATE`, `OPERATION_UNSUPPORTED`, `FUNCTION_NOT_FROZEN`, `STORAGE_FULL` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `GUEST_NOT_READY`, `VM_DIED` */
            424: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    getSnapshot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A snapshot. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Snapshot"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    deleteSnapshot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The snapshot is gone. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_IN_USE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    patchSnapshot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SnapshotPatch"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `UNSUPPORTED_FIELD`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `OPERATION_UNSUPPORTED` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VMM_FAILED`, `DEPENDENCY_MISSING`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    getMincore: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A snapshot's mincore state. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Mincore"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    carryMincore: {
        parameters: {
            query: {
                /** @description The snapshot whose layers they are. */
                source: string;
            };
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    addMincoreLayer: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["MincoreLayer"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `UNSUPPORTED_FIELD`, `LIMIT_EXCEEDED`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    patchMincore: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["MincorePatch"];
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `UNSUPPORTED_FIELD`, `PATH_NOT_ALLOWED`, `LIMIT_EXCEEDED`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `OPERATION_UNSUPPORTED`, `STORAGE_FULL`, `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    getReap: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description REAP's state of a snapshot. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Reap"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    forgetReap: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The next restore with `reap` records anew. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    cacheReap: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        /** @description true: read it into the page cache. false: drop it. */
        requestBody: {
            content: {
                "application/json": boolean;
            };
        };
        responses: {
            /** @description Done. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `UNSUPPORTED_FIELD`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `OPERATION_UNSUPPORTED`, `STORAGE_FULL`, `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    verifySnapshot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A snapshot that is whole. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Verification"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `OPERATION_UNSUPPORTED`, `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    getWorkingSet: {
        parameters: {
            query?: {
                /** @description Also count the pages that are in at least so many of the recordings. */
                at_least?: string;
            };
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What is known of the working set of a snapshot. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WorkingSet"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    forgetWorkingSet: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is forgotten. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    workingSetPicture: {
        parameters: {
            query?: {
                /** @description Whose working-set file counts as prefetched. Default: the one made last. */
                strategy?: "reap" | "faasnap" | "populate";
            };
            header?: never;
            path: {
                /** @description Id of the snapshot. */
                ssId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description SVG. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "image/svg+xml": string;
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_REQUESTS` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `DEPENDENCY_MISSING`, `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    poolVm: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["VMMInput"];
            };
        };
        responses: {
            /** @description A microVM. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VM"];
                };
            };
            /** @description `UNSUPPORTED_FIELD`, `MEMORY_TOO_SMALL`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_NOT_FOUND`, `IMAGE_NOT_FOUND`, `KERNEL_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SNAPSHOT_UNUSABLE`, `FUNCTION_HAS_NO_CODE`, `STORAGE_FULL` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_VMS`, `HOST_MEMORY_FULL` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    listVms: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The VMs. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VM"][];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    startVm: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["VMInput"];
            };
        };
        responses: {
            /** @description A microVM. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VM"];
                };
            };
            /** @description `UNSUPPORTED_FIELD`, `MEMORY_TOO_SMALL`, `LIMIT_EXCEEDED`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_NOT_FOUND`, `SNAPSHOT_NOT_FOUND`, `IMAGE_NOT_FOUND`, `KERNEL_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_HAS_NO_CODE`, `FUNCTION_MISMATCH`, `SNAPSHOT_UNUSABLE`, `OPERATION_UNSUPPORTED`, `STORAGE_FULL` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `TOO_MANY_VMS`, `HOST_MEMORY_FULL` */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    getVm: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the VM. */
                vmId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A microVM. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VM"];
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VM_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    deleteVm: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the VM. */
                vmId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The VM is gone. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VM_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    resizeVm: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the VM. */
                vmId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["VMResize"];
            };
        };
        responses: {
            /** @description A microVM. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VM"];
                };
            };
            /** @description `UNSUPPORTED_FIELD`, `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VM_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VM_WRONG_STATE`, `OPERATION_UNSUPPORTED` */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `BODY_TOO_LARGE` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `UNSUPPORTED_MEDIA_TYPE` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `RESIZE_TIMED_OUT`, `GUEST_NOT_READY`, `VM_DIED` */
            424: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VMM_FAILED`, `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `SHUTTING_DOWN` */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    vmConsole: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the VM. */
                vmId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The console. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description `INVALID_REQUEST` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `HOST_NOT_ALLOWED`, `ORIGIN_NOT_ALLOWED` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `VM_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `INTERNAL` */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
}
