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
         * @description With `vmId` warm in that VM; else with `ssId` in a VM restored from that snapshot; else cold.
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
        put?: never;
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
        patch?: never;
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
            code: "INVALID_REQUEST" | "INVALID_PARAMS" | "INVALID_ARCHIVE" | "INVALID_CONFIG" | "UNSUPPORTED_FIELD" | "PATH_NOT_ALLOWED" | "MEMORY_TOO_SMALL" | "LIMIT_EXCEEDED" | "HOST_NOT_ALLOWED" | "ORIGIN_NOT_ALLOWED" | "ROUTE_NOT_FOUND" | "FUNCTION_NOT_FOUND" | "IMAGE_NOT_FOUND" | "KERNEL_NOT_FOUND" | "VM_NOT_FOUND" | "SNAPSHOT_NOT_FOUND" | "METHOD_NOT_ALLOWED" | "REQUEST_TIMEOUT" | "UNSUPPORTED_MEDIA_TYPE" | "BODY_TOO_LARGE" | "ARCHIVE_TOO_LARGE" | "HEADERS_TOO_LARGE" | "FUNCTION_HAS_NO_CODE" | "FUNCTION_IN_USE" | "FUNCTION_MISMATCH" | "SNAPSHOT_IN_USE" | "SNAPSHOT_UNUSABLE" | "VM_WRONG_STATE" | "OPERATION_UNSUPPORTED" | "FUNCTION_NOT_FROZEN" | "HANDLER_NOT_FOUND" | "HANDLER_FAILED" | "HANDLER_EXITED" | "HANDLER_TIMEOUT" | "RESULT_NOT_JSON" | "RESULT_TOO_LARGE" | "GUEST_NOT_READY" | "GUEST_PANICKED" | "GUEST_PROTOCOL" | "VM_DIED" | "STORAGE_FULL" | "TOO_MANY_VMS" | "TOO_MANY_REQUESTS" | "DEPENDENCY_MISSING" | "DATA_IN_USE" | "VMM_FAILED" | "PAGE_SERVER_FAILED" | "IMAGE_BUILD_FAILED" | "SHUTTING_DOWN" | "DAEMON_UNREACHABLE" | "INTERNAL";
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
            /** @description What the function printed last. */
            logs?: string;
            /** @description What is wrong and, where possible, what to do. */
            message: string;
            /** @description The same request may succeed later. */
            retryable: boolean;
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
            /** @description Memory of its microVMs, MiB. */
            mem_size: number;
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
            /** @description Memory, MiB. */
            mem_size?: number;
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
        /** @description An invocation. Neither `vmId` nor `ssId`: cold, in a VM booted for it. */
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
            /** @description Inside the handler, by the guest's clock, ms. */
            handlerMs: number;
            /** @description What the invocation printed, its last part. */
            logs: string;
            /** @description Milliseconds from the request's arrival until each point; absent where it did not occur. */
            phases: {
                /** @description The answer is there: what users feel. */
                firstResponse: number;
                /** @description The instance can take the event. */
                ready: number;
                /** @description The guest's CPUs run. */
                resumed?: number;
                /** @description The snapshot's device state is loaded. */
                stateLoaded?: number;
                /** @description The VMM process answers. */
                vmmUp?: number;
            };
            /** @description Its VM stood restored in the pool: `vmmUp` and `stateLoaded` were reached before the request. Absent: it did not. */
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
             * @description How the invocation got its instance.
             * @enum {string}
             */
            startKind: "cold" | "snapshot" | "warm";
            /** @description Its trace: that of the `traceparent` header, else a new one. */
            traceId: string;
            /** @description The VM that served it; it stays alive. */
            vmId: string;
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
                /** @description Memory, MiB. */
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
            /**
             * @description Memory by balloon. A boolean; not in this version: only false or null is accepted.
             * @enum {unknown}
             */
            enable_balloon?: false | null;
            /**
             * @description Memory by Faascale's blocks. A boolean; not in this version: only false or null is accepted.
             * @enum {unknown}
             */
            enable_faascale?: false | null;
            /** @description The function that it shall run. */
            func_name: string;
            /** @description Alias of the guest kernel. Default: the function's. */
            kernel?: string;
            /** @description Memory, MiB. Default: the function's. */
            mem?: number;
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
            /** @description `FUNCTION_HAS_NO_CODE`, `FUNCTION_MISMATCH`, `VM_WRONG_STATE`, `SNAPSHOT_UNUSABLE`, `OPERATION_UNSUPPORTED`, `STORAGE_FULL` */
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
            /** @description `HANDLER_NOT_FOUND`, `HANDLER_FAILED`, `HANDLER_EXITED`, `HANDLER_TIMEOUT`, `RESULT_NOT_JSON`, `RESULT_TOO_LARGE` */
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
            /** @description `TOO_MANY_VMS`, `TOO_MANY_REQUESTS` */
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
            /** @description `VM_WRONG_STATE`, `OPERATION_UNSUPPORTED`, `STORAGE_FULL` */
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
            /** @description `VM_DIED` */
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
            /** @description `SNAPSHOT_IN_USE`, `SNAPSHOT_UNUSABLE` */
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
            /** @description `TOO_MANY_VMS` */
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
            /** @description `FUNCTION_NOT_FOUND`, `SNAPSHOT_NOT_FOUND`, `IMAGE_NOT_FOUND`, `KERNEL_NOT_FOUND` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description `FUNCTION_HAS_NO_CODE`, `FUNCTION_MISMATCH`, `SNAPSHOT_UNUSABLE`, `STORAGE_FULL` */
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
            /** @description `TOO_MANY_VMS` */
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
